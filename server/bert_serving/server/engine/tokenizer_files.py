"""The tokenizer of a model folder: from its files to the JSON of a `tokenizers` pipeline. No TensorFlow.

That JSON, with rules of ours in it, is all that `tokenization.py` needs: it travels to the workers, and is a part of
the model's fingerprint. A Google folder has a vocab.txt, cut as Google's code does. A Hugging Face folder is read as
the library `transformers` reads it: tokenizer.json first, else a plain vocabulary.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.model_folder import ModelFolder, WeightFormat, read_json
from bert_serving.server.engine.vocabularies import (
    Normalization,
    Parts,
    SpecialTokens,
    byte_pairs,
    read_lines,
    word_piece,
)
from bert_serving.server.errors import ConfigError, StartError

_PADDED_TO = 64  # some Hugging Face models round the embedding table up to a multiple of this
_RULES = "rules"

_TYPED = {"Bert", "Electra", "MobileBert", "ConvBert", "Funnel", "SqueezeBert", "Deberta", "DebertaV2"}
"""Classes of tokenizers that by themselves feed type ids; the others do only where a folder says so."""
_FOREIGN_WORDS = {
    "BertJapanese": "MeCab or Sudachi",
    "Phobert": "VnCoreNLP",
    "Bertweet": "code of its own",
    "RoFormer": "jieba",
    "Herbert": "Moses",
    "Flaubert": "Moses",
    "XLM": "Moses",
}
"""Classes of tokenizers that get their words from elsewhere, so that no file of the folder tells them."""
_SPECIAL_NAMES = [f"{name}_token" for name in ("cls", "sep", "unk", "pad", "mask", "bos", "eos")]
_USUAL_TOKENS = ("[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]", "<s>", "</s>", "<unk>", "<pad>", "<mask>")
_SENTENCE_PIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")


@dataclass(frozen=True)
class Rules:
    """What a pipeline cannot say. The defaults are those of Google's code.

    `feeds_types`: whether the second text of a pair is told apart by type ids. `special_as_text`: whether a special
    token that is written in a text is mere text. `even_pairs`: how the texts of a pair are cut, see `features`.
    `strips`: whether blanks at both ends of a text are taken off.
    """

    feeds_types: bool = True
    special_as_text: bool = False
    even_pairs: bool = False
    strips: bool = True

    def put_into(self, parts: Parts) -> str:
        """The JSON of a pipeline with these rules in it, if they are not Google's."""
        unusual = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) != one.default}
        return json.dumps({**parts, _RULES: unusual} if unusual else parts)

    @staticmethod
    def out_of(pipeline: str) -> tuple[Rules, Parts]:
        """The rules in a pipeline, and the pipeline without them."""
        parts = json.loads(pipeline)
        return Rules(**parts.pop(_RULES, {})), parts


def find_pipeline(config: ServerConfig, model: ModelFolder) -> str:
    """The tokenizer of a model, as the JSON of a `tokenizers` pipeline.

    Raises:
        StartError: a file is missing, broken, or does not fit; it is named.
        ConfigError: an option makes no sense with this tokenizer.
    """
    if model.format is WeightFormat.GOOGLE:
        return Rules().put_into(_word_piece(config, model, _About()))
    about = _About.of(model.tokenizer_folder)
    about.refuse_foreign_words(model.tokenizer_folder)
    folder = model.tokenizer_folder
    if (folder / "tokenizer.json").is_file():
        parts = _from_tokenizer_json(config, model, about)
    elif (folder / "vocab.txt").is_file():
        parts = _with_added_tokens(_word_piece(config, model, about), folder, about)
    elif (folder / "vocab.json").is_file():
        parts = _with_added_tokens(_byte_pairs(config, folder, about), folder, about)
    else:
        raise StartError(_no_tokenizer(folder))
    rules = Rules(
        feeds_types=about.feeds_types(default=model.shape.types > 1),
        special_as_text=config.special_tokens == "text",
        even_pairs=True,
        strips=False,
    )
    return rules.put_into(parts)


def _no_tokenizer(folder: Path) -> str:
    if found := next((name for name in _SENTENCE_PIECE if (folder / name).is_file()), None):
        return (
            f"{folder} has {found} alone, which only code of its library reads: save the tokenizer again by "
            "transformers' AutoTokenizer.from_pretrained(..).save_pretrained(..), which writes tokenizer.json"
        )
    return f"{folder} has no tokenizer: expected is tokenizer.json, vocab.txt, or vocab.json with merges.txt"


# -- what stands beside the vocabulary --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _About:
    """tokenizer_config.json, with special_tokens_map.json below it; both may be missing."""

    path: Path = Path()
    values: Any = None

    @staticmethod
    def of(folder: Path) -> _About:
        path, special = folder / "tokenizer_config.json", folder / "special_tokens_map.json"
        below = read_json(special) if special.is_file() else {}
        return _About(path, {**below, **(read_json(path) if path.is_file() else {})})

    def get(self, name: str) -> Any:
        return (self.values or {}).get(name)

    @property
    def kind(self) -> str:
        """The class of the tokenizer, without what all of them end in."""
        return str(self.get("tokenizer_class") or "").removesuffix("Fast").removesuffix("Tokenizer")

    def refuse_foreign_words(self, folder: Path) -> None:
        """Raises StartError for a tokenizer whose words no file of the folder tells."""
        if self.kind in _FOREIGN_WORDS:
            raise StartError(
                f"{folder / 'tokenizer_config.json'}: a {self.get('tokenizer_class')} gets its words from "
                f"{_FOREIGN_WORDS[self.kind]}, which cannot be served: use a model with a tokenizer.json of its own"
            )

    def feeds_types(self, *, default: bool) -> bool:
        """Whether the model is told which text of a pair a token belongs to."""
        names = self.get("model_input_names")
        if isinstance(names, list):
            return "token_type_ids" in names
        return self.kind in _TYPED if self.kind else default

    def special(self, name: str, default: str) -> str:
        """A special token, by its name in the config."""
        value = self.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        return str(value) if value else default


def _lowercases(folder: Path) -> bool:
    """sentence-transformers lowercases texts itself where this file says so."""
    path = folder / "sentence_bert_config.json"
    return path.is_file() and bool(read_json(path).get("do_lower_case"))


def _normalization(config: ServerConfig, folder: Path, about: _About) -> Normalization:
    """Of a plain vocabulary."""
    names = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "space_chinese"}
    found = {ours: about.get(theirs) for theirs, ours in names.items() if about.get(theirs) is not None}
    normalization = replace(Normalization(), **found)
    if about.values is not None and _lowercases(folder):
        normalization = replace(normalization, lowercase=True, strip_accents=bool(normalization.strip_accents))
    if config.cased_tokenization:
        normalization = replace(normalization, lowercase=False, strip_accents=False)
    return normalization


# -- plain vocabularies -----------------------------------------------------------------------------------------------


def _word_piece(config: ServerConfig, model: ModelFolder, about: _About) -> Parts:
    path = model.tokenizer_folder / "vocab.txt"
    if not path.is_file():
        raise StartError(f"{path} is missing: the vocabulary is expected there, one token a line")
    tokens = read_lines(path)
    _check_size(path, tokens, model)
    as_mpnet = about.kind == "MPNet" or (not about.kind and model.architecture.name == "MPNet")
    cls, sep = ("<s>", "</s>") if as_mpnet else ("[CLS]", "[SEP]")
    special = SpecialTokens(
        about.special("cls_token", cls), about.special("sep_token", sep), about.special("unk_token", "[UNK]")
    )
    return word_piece(tokens, _normalization(config, model.tokenizer_folder, about), special, as_roberta=as_mpnet)


def _check_size(path: Path, tokens: list[str], model: ModelFolder) -> None:
    if _fits(len(tokens), model):
        return
    cure = "it is another model's vocabulary"
    blank = [number for number, token in enumerate(tokens, 1) if not token]
    if blank and _fits(len(tokens) - len(blank), model):
        cure = f"it has {len(blank)} blank lines more, the first is line {blank[0]}; take them out"
    raise StartError(f"{path} has {len(tokens)} tokens, but vocab_size is {model.shape.vocab}: {cure}")


def _fits(count: int, model: ModelFolder) -> bool:
    spare = model.shape.vocab - count
    padded = model.format is WeightFormat.HUGGING_FACE and model.shape.vocab % _PADDED_TO == 0
    return spare == 0 or (padded and 0 < spare < 2 * _PADDED_TO)


def _byte_pairs(config: ServerConfig, folder: Path, about: _About) -> Parts:
    if config.cased_tokenization:
        raise ConfigError("-cased_tokenization changes nothing with this tokenizer, which keeps case: leave it out")
    ids, merges = read_json(folder / "vocab.json"), folder / "merges.txt"
    if not merges.is_file():
        raise StartError(f"{merges} is missing: with vocab.json the pairs to join are expected there")
    lines = [line for line in read_lines(merges) if line and not line.startswith("#version")]
    special = SpecialTokens(
        about.special("cls_token", "<s>"), about.special("sep_token", "</s>"), about.special("unk_token", "<unk>")
    )
    return byte_pairs(ids, lines, special, space_first=bool(about.get("add_prefix_space")))


def _with_added_tokens(parts: Parts, folder: Path, about: _About) -> Parts:
    """The special tokens are found in texts, and so are those that were added to a vocabulary."""
    ids = parts["model"]["vocab"]
    added = {ids[token]: _added(token, lstrip=token == "<mask>") for token in _named_tokens(about) if token in ids}
    extra = folder / "added_tokens.json"
    for token, index in (read_json(extra) if extra.is_file() else {}).items():
        added.setdefault(index, _added(token, special=False))
    for index, values in (about.get("added_tokens_decoder") or {}).items():
        added[int(index)] = _added(**{name: value for name, value in values.items() if name != "__type"})
    return {**parts, "added_tokens": [{"id": index, **added[index]} for index in sorted(added)]}


def _named_tokens(about: _About) -> list[str]:
    """The special tokens by the config's names for them, or else by those that all models of a kind have."""
    found = [token for name in _SPECIAL_NAMES if (token := about.special(name, ""))]
    return [*found, *(token for token in _USUAL_TOKENS if token not in found)]


def _added(content: str, *, special: bool = True, **flags: bool) -> dict[str, Any]:
    usual = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": not special, "special": special}
    return {"content": content, **usual, **flags}


# -- tokenizer.json ---------------------------------------------------------------------------------------------------


def _from_tokenizer_json(config: ServerConfig, model: ModelFolder, about: _About) -> Parts:
    path = model.tokenizer_folder / "tokenizer.json"
    parts: Parts = {**read_json(path), "truncation": None, "padding": None}
    if not isinstance(parts.get("model"), dict) or not isinstance(parts.get("added_tokens", []), list):
        raise StartError(f"{path} holds no tokenizer, which has a model and added_tokens: copy the file again")
    parts["normalizer"] = _normalizer(config, model.tokenizer_folder, parts.get("normalizer"), about)
    if config.special_tokens == "text" and parts["model"].get("type") == "Unigram":
        return _without_special_pieces(parts)
    return parts


def _without_special_pieces(parts: Parts) -> Parts:
    """Special tokens get a blank at their end, which no piece of a text has: else Unigram takes them for pieces."""
    special = {one["content"] for one in parts["added_tokens"] if one["special"]}
    pieces = [[f"{piece} " if piece in special else piece, score] for piece, score in parts["model"]["vocab"]]
    added = [one for one in parts["added_tokens"] if not one["special"]]
    return {**parts, "added_tokens": added, "model": {**parts["model"], "vocab": pieces}}


def _normalizer(config: ServerConfig, folder: Path, given: Any, about: _About) -> Any:
    """That of tokenizer.json, changed as tokenizer_config.json and the options say."""
    is_bert = isinstance(given, dict) and given.get("type") == "BertNormalizer"
    if is_bert:
        names = {
            "do_lower_case": "lowercase",
            "strip_accents": "strip_accents",
            "tokenize_chinese_chars": "handle_chinese_chars",
        }
        given = {**given, **{ours: about.get(name) for name, ours in names.items() if name in (about.values or {})}}
    if _lowercases(folder):
        if is_bert:
            given = {**given, "lowercase": True, "strip_accents": bool(given.get("strip_accents"))}
        else:
            given = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *([given] if given else [])]}
    return _cased(given) if config.cased_tokenization else given


def _cased(normalizer: Any) -> Any:
    """The same normalizer, but case and accents stay. Raises ConfigError if it keeps them anyway."""
    kept = _keeping_case(normalizer)
    if kept == normalizer and not (normalizer or {}).get("type") == "BertNormalizer":
        raise ConfigError("-cased_tokenization changes nothing with this tokenizer, which keeps case: leave it out")
    return kept


def _keeping_case(normalizer: Any) -> Any:
    if not isinstance(normalizer, dict):
        return normalizer
    if normalizer.get("type") == "BertNormalizer":
        return {**normalizer, "lowercase": False, "strip_accents": False}
    if normalizer.get("type") == "Sequence":
        kept = [_keeping_case(one) for one in normalizer.get("normalizers", ())]
        return {
            **normalizer,
            "normalizers": [one for one in kept if one.get("type") not in ("Lowercase", "StripAccents")],
        }
    return normalizer
