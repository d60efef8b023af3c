"""The tokenizer of a model folder: from its files to the text of a `Pipeline`. No TensorFlow.

That text is all that `tokenization.py` needs: it is sent to the workers, and is part of the model's fingerprint.

Google's folders have vocab.txt. In Hugging Face's, tokenizer.json wins, then vocab.txt, then vocab.json and merges.txt.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tokenizers import Tokenizer

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.model_files import opened, read_json, refuse_pointer
from bert_serving.server.engine.model_folder import ModelFolder, WeightFormat
from bert_serving.server.engine.pipeline import Pipeline
from bert_serving.server.engine.sentence_config import encoder_settings
from bert_serving.server.engine.template import templates_of
from bert_serving.server.engine.tokenizer_parts import (
    Parts,
    add_tokens,
    heed_class,
    heed_template,
    hide_special_tokens,
    keep_case,
    lower_first,
    read_tokenizer_json,
    unknown_id,
    vocabulary,
)
from bert_serving.server.engine.tokenizer_settings import BYTE_LEVEL, WORD_PIECE, TokenizerSettings, settings_of
from bert_serving.server.engine.word_piece import Normalization, read_lines, word_piece, word_piece_parts
from bert_serving.server.errors import StartError

_PADDED_TO = 8  # some Hugging Face models round the embedding table up to a multiple of this
_MOST_PADDING = 128
_SAVE = (
    "save it with transformers, AutoTokenizer.from_pretrained(folder).save_pretrained(folder), which writes "
    "tokenizer.json"
)
_SENTENCE_PIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")


def find_pipeline(config: ServerConfig, model: ModelFolder) -> str:
    """The tokenizer of a model, as the text of a `Pipeline`.

    Raises:
        StartError: a file is missing, broken, or does not fit; it is named.
    """
    if model.format is WeightFormat.GOOGLE:
        tokens = _vocabulary(model, model.tokenizer_folder / "vocab.txt")
        return word_piece(tokens, _cased() if config.cased_tokenization else Normalization())
    settings = settings_of(model)
    path, parts = _hugging_face(model, settings)
    try:
        heed_class(parts, settings)
        _heed(config, model, settings, path, parts)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise StartError(f"{path} is not a tokenizer ({type(error).__name__}: {error}): copy the file again") from error
    as_text = config.special_tokens == "text"
    if as_text:
        hide_special_tokens(parts)
    as_text = as_text or bool(settings.flag("split_special_tokens", False))
    text = json.dumps(parts)
    _check(path, text)
    return Pipeline(text, unknown_id(parts), special_as_text=as_text).text()


def _cased() -> Normalization:
    return Normalization(lowercase=False, strip_accents=False)


def _hugging_face(model: ModelFolder, settings: TokenizerSettings) -> tuple[Path, Parts]:
    """The file that has the vocabulary, and the parts of a pipeline from it."""
    folder = model.tokenizer_folder
    fast, plain, merges = folder / "tokenizer.json", folder / "vocab.txt", folder / "merges.txt"
    if fast.is_file():
        return fast, read_tokenizer_json(fast)
    if plain.is_file() and settings.kind in WORD_PIECE:
        names = settings.names
        tokens = read_lines(plain)
        parts = word_piece_parts(tokens, _normalization(settings), names["cls"], names["sep"], names["unk"])
        parts["post_processor"] = None
        return plain, parts
    if merges.is_file() and settings.kind in BYTE_LEVEL:
        return _byte_level(folder / "vocab.json", merges, settings)
    if not any(one.is_file() for one in (plain, merges, *(folder / name for name in _SENTENCE_PIECE))):
        raise StartError(f"{fast} is missing, and so is {plain.name}: the tokenizer is expected in one of them")
    found = next(one.name for one in (*(folder / name for name in _SENTENCE_PIECE), plain, merges) if one.is_file())
    raise StartError(f"{fast} is missing, and {found} of a {settings.kind} alone is not enough: {_SAVE}")


def _normalization(settings: TokenizerSettings) -> Normalization:
    return Normalization(
        lowercase=bool(settings.flag("do_lower_case", True)),
        strip_accents=settings.flag("strip_accents", None),
        space_chinese=bool(settings.flag("tokenize_chinese_chars", True)),
    )


def _byte_level(path: Path, merges: Path, settings: TokenizerSettings) -> tuple[Path, Parts]:
    """As RobertaTokenizer builds it from vocab.json and merges.txt."""
    with opened(merges) as stream:
        content = stream.read()
    refuse_pointer(merges, content)
    try:
        lines = content.decode("utf-8").split("\n")
    except ValueError as error:
        raise StartError(f"{merges} is not UTF-8 ({error}): copy the file again") from error
    pairs = [line.split() for line in lines if line.strip() and not line.startswith("#version")]
    wrong = next((pair for pair in pairs if len(pair) != 2), None)
    if wrong:
        raise StartError(f"{merges} has a line {' '.join(wrong)!r} that is not a pair: copy the file again")
    space = bool(settings.flag("add_prefix_space", False))
    return path, {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": True
        },
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": read_json(path), "merges": pairs,
        },
    }  # fmt: skip


def _heed(config: ServerConfig, model: ModelFolder, settings: TokenizerSettings, path: Path, parts: Parts) -> None:
    """All that other files and the options say of a tokenizer."""
    add_tokens(parts, settings.added, settings.names)
    if config.cased_tokenization:
        keep_case(parts, path)
    elif encoder_settings(model.tokenizer_folder)[1].get("do_lower_case"):
        lower_first(parts)
    heed_template(parts, settings, path)
    _check_size(model, path, parts)


# -- checks -----------------------------------------------------------------------------------------------------------


def _vocabulary(model: ModelFolder, path: Path) -> list[str]:
    if not path.is_file():
        raise StartError(f"{path} is missing: the vocabulary is expected there, one token a line")
    tokens = read_lines(path)
    _check_count(model, path, tokens, len(tokens))
    return tokens


def _check_size(model: ModelFolder, path: Path, parts: Parts) -> None:
    """No id beyond the embedding table."""
    ids = {**vocabulary(parts), **{token["content"]: token["id"] for token in parts["added_tokens"]}}
    last = max(ids, key=ids.__getitem__)
    if path.name == "vocab.txt":
        _check_count(model, path, [token.rstrip(" ") for token in ids], ids[last] + 1)
    elif ids[last] >= model.shape.vocab or min(ids.values()) < 0:
        raise StartError(
            f"{path} has the token {json.dumps(last)} with the id {ids[last]}, but vocab_size is {model.shape.vocab}: "
            "it is another model's tokenizer, or tokens were added only to it"
        )


def _check_count(model: ModelFolder, path: Path, tokens: list[str], count: int) -> None:
    if not _fits(count, model):
        cure = "it is another model's vocabulary"
        blank = [number for number, token in enumerate(tokens, 1) if not token]
        if blank and _fits(count - len(blank), model):
            cure = f"it has {len(blank)} extra blank lines, the first is line {blank[0]}; remove them"
        raise StartError(f"{path} has {count} tokens, but vocab_size is {model.shape.vocab}: {cure}")


def _fits(count: int, model: ModelFolder) -> bool:
    spare = model.shape.vocab - count
    padded = model.format is WeightFormat.HUGGING_FACE and model.shape.vocab % _PADDED_TO == 0
    return spare == 0 or (padded and 0 < spare < _MOST_PADDING)


def _check(path: Path, text: str) -> None:
    """Raises StartError if the library cannot read or use it."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        templates_of(Tokenizer.from_str(text))
    except ValueError as error:
        raise StartError(f"{path} {error}: use another model") from error
    except BaseException as error:  # a panic of the library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise StartError(f"{path} cannot be read by the package tokenizers ({error}): copy it again") from error
