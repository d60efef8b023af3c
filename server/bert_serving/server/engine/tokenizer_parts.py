"""The parts of a tokenizer.json, and how a folder's other files and the options change them. No TensorFlow.

`Parts` is the content of the file as JSON: `normalizer`, `pre_tokenizer`, `model`, `post_processor`, `added_tokens`.
Only functions here change it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bert_serving.server.engine.model_files import read_json
from bert_serving.server.engine.tokenizer_settings import (
    BYTE_LEVEL,
    SPECIAL_NAMES,
    WORD_PIECE,
    Token,
    TokenizerSettings,
)
from bert_serving.server.errors import StartError

Parts = dict[str, Any]

_KINDS = ("WordPiece", "BPE", "Unigram", "WordLevel")
_NO_MARKS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_LEAST_TRIE_BYTES = 1024


def read_tokenizer_json(path: Path) -> Parts:
    """The parts of the file, with what older versions left out. Raises StartError for what is certainly broken."""
    parts: Parts = read_json(path)
    model = parts.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), (dict, list)) or not model["vocab"]:
        raise StartError(f"{path} has no model with a vocabulary: copy the file again")
    kind = model.setdefault("type", "WordPiece" if "continuing_subword_prefix" in model else None)
    if kind not in _KINDS:
        raise StartError(f"{path}: the model is {json.dumps(kind)}, but only {', '.join(_KINDS)} can be served")
    if kind == "BPE" and model.get("dropout"):
        raise StartError(f"{path}: the model has dropout {model['dropout']}, which cuts at random: set it to null")
    if kind == "WordPiece":
        model.setdefault("unk_token", "[UNK]")
        model.setdefault("continuing_subword_prefix", "##")
        model.setdefault("max_input_chars_per_word", 100)
    added = parts.setdefault("added_tokens", [])
    if not isinstance(added, list) or not all(_is_added(token) for token in added):
        raise StartError(f"{path}: added_tokens must be a list of tokens with content and id: copy the file again")
    parts["added_tokens"] = [{**_NO_MARKS, **token} for token in added]
    for part in _parts_in(parts.get("normalizer"), "normalizers"):
        if part.get("type") == "BertNormalizer":
            for name, value in (("clean_text", True), ("handle_chinese_chars", True), ("strip_accents", None)):
                part.setdefault(name, value)
        elif part.get("type") == "Precompiled" and not _is_charsmap(part.get("precompiled_charsmap")):
            raise StartError(f"{path}: the normalizer's precompiled_charsmap is broken: copy the file again")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        **{name: parts.get(name) for name in ("added_tokens", "normalizer", "pre_tokenizer", "post_processor")},
        "decoder": None,
        "model": model,
    }


def _is_added(token: Any) -> bool:
    return isinstance(token, dict) and isinstance(token.get("content"), str) and type(token.get("id")) is int


def _is_charsmap(value: Any) -> bool:
    """Whether it has a table of so many bytes as it says, and text after it; else the library would panic."""
    if isinstance(value, list):
        return False
    try:
        content = base64.b64decode(value or "", validate=True)
        size = int.from_bytes(content[:4], "little")
        content[4 + size :].decode("utf-8")
    except (binascii.Error, TypeError, ValueError):
        return False
    return _LEAST_TRIE_BYTES <= size <= len(content) - 4 and size % 4 == 0


def _parts_in(part: Any, name: str) -> Iterator[Parts]:
    """A part, or all parts of a sequence of them."""
    if isinstance(part, dict):
        if part.get("type") == "Sequence" and isinstance(part.get(name), list):
            for inner in part[name]:
                yield from _parts_in(inner, name)
        else:
            yield part


# -- case and accents -------------------------------------------------------------------------------------------------


def heed_class(parts: Parts, settings: TokenizerSettings) -> None:
    """Let a class of BERT's kind say how text is cleaned, and one of RoBERTa's whether a text begins with a space."""
    if settings.kind in WORD_PIECE and settings.path.is_file():
        for part in _parts_in(parts["normalizer"], "normalizers"):
            if part["type"] == "BertNormalizer":
                part["lowercase"] = bool(settings.flag("do_lower_case", True))
                part["strip_accents"] = settings.flag("strip_accents", None)
                part["handle_chinese_chars"] = bool(settings.flag("tokenize_chinese_chars", True))
    if settings.kind in BYTE_LEVEL and settings.path.is_file():
        for part in _parts_in(parts["pre_tokenizer"], "pretokenizers"):
            if part["type"] == "ByteLevel":
                part["add_prefix_space"] = bool(settings.flag("add_prefix_space", False))
    lowercase = settings.flag("do_lower_case", None)
    found = any(part["type"] == "Lowercase" for part in _parts_in(parts["normalizer"], "normalizers"))
    if settings.kind == "AlbertTokenizer" and lowercase not in (None, found):
        raise StartError(
            f"{settings.path}: do_lower_case is {json.dumps(lowercase)}, but tokenizer.json does the opposite: "
            "save the tokenizer again, so that both say the same"
        )


def lower_first(parts: Parts) -> None:
    """Lower case before all else, where nothing does it yet, as sentence-transformers with `do_lower_case`."""
    normalizer = parts["normalizer"]
    found = list(_parts_in(normalizer, "normalizers"))
    if any(part["type"] == "Lowercase" or part.get("lowercase") for part in found):
        return
    if normalizer is not None and normalizer["type"] == "BertNormalizer":
        normalizer["lowercase"], normalizer["strip_accents"] = True, bool(normalizer["strip_accents"])
    else:
        parts["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *found]}


def keep_case(parts: Parts, path: Path) -> None:
    """Keep case and accents, for `-cased_tokenization`. Raises StartError where that cannot be taken out."""
    for part in _parts_in(parts["normalizer"], "normalizers"):
        if part["type"] == "BertNormalizer":
            part["lowercase"], part["strip_accents"] = False, False
        elif part["type"] in ("Lowercase", "StripAccents"):
            raise StartError(
                f"-cased_tokenization is not possible with {path}, whose normalizer includes {part['type']}: "
                "omit the option"
            )


# -- special tokens ---------------------------------------------------------------------------------------------------


def vocabulary(parts: Parts) -> dict[str, int]:
    """Ids by token, without added tokens."""
    vocab = parts["model"]["vocab"]
    if isinstance(vocab, dict):
        return vocab
    return {entry[0]: index for index, entry in enumerate(vocab)}


def unknown_id(parts: Parts) -> int | None:
    """The id of the model's unknown token; None without one."""
    model = parts["model"]
    if model["type"] == "Unigram":
        index = model.get("unk_id")
        return index if isinstance(index, int) else None
    ids = {**vocabulary(parts), **{token["content"]: token["id"] for token in parts["added_tokens"]}}
    return ids.get(model.get("unk_token"))


def add_tokens(parts: Parts, tokens: tuple[Token, ...], names: dict[str, str] | Any) -> None:
    """Let these be tokens wherever they are written: one that the vocabulary lacks gets the next id.

    So do the names that the class gives special tokens, if the vocabulary has them.
    """
    vocab = vocabulary(parts)
    added: list[Parts] = parts["added_tokens"]
    places = {token["content"]: place for place, token in enumerate(added)}
    known = [{"content": name, **_NO_MARKS} for name in dict.fromkeys(names.values()) if name in vocab]
    for token in (*tokens, *known):
        content = token["content"]
        if not content:
            continue
        place = places.get(content)
        if place is None:
            highest = max((one["id"] for one in added), default=-1)
            places[content] = len(added)
            added.append({"id": vocab.get(content, max(len(vocab), highest + 1)), **token})
        elif token in tokens:
            added[place] = {"id": added[place]["id"], **token}


def hide_special_tokens(parts: Parts) -> None:
    """Give special tokens a blank at their end in the vocabulary, so that no text has them; `-special_tokens text`.

    Merges of bytes make none.
    """
    model = parts["model"]
    special = {token["content"] for token in parts["added_tokens"] if token["special"]}
    if isinstance(model["vocab"], list):
        model["vocab"] = [[_hidden(one[0], special), *one[1:]] for one in model["vocab"]]
    elif model["type"] != "BPE":
        model["vocab"] = {_hidden(token, special): index for token, index in model["vocab"].items()}
        model["unk_token"] = _hidden(model["unk_token"], special)
    if model["type"] != "BPE":
        for token in parts["added_tokens"]:
            token["content"] = _hidden(token["content"], special)


def _hidden(token: str, special: set[str]) -> str:
    return token + " " if token in special else token


# -- the template -----------------------------------------------------------------------------------------------------


def heed_template(parts: Parts, settings: TokenizerSettings, path: Path) -> None:
    """Make a post-processor where there is none, as the class would, and leave type ids out if they are not fed.

    Raises StartError if a special token is missing.
    """
    processor = parts["post_processor"]
    if processor is None and settings.kind in SPECIAL_NAMES:
        ids = {**vocabulary(parts), **{token["content"]: token["id"] for token in parts["added_tokens"]}}
        cls, sep = settings.names["cls"], settings.names["sep"]
        for token in (cls, sep):
            if token not in ids:
                raise StartError(f"{path}: the vocabulary has no {token}, which {settings.kind} puts around a text")
        like_bert = SPECIAL_NAMES[settings.kind]["cls"] == "[CLS]"
        kind = {"type": "BertProcessing"} if like_bert else {"type": "RobertaProcessing", **_OFFSETS}
        processor = {**kind, "sep": [sep, ids[sep]], "cls": [cls, ids[cls]]}
    parts["post_processor"] = processor if settings.typed else _untyped(processor)


_OFFSETS = {"trim_offsets": True, "add_prefix_space": False}  # nobody reads offsets


def _untyped(processor: Any) -> Any:
    """The same template, all of it of type 0."""
    kind = processor["type"] if processor else None
    if kind == "Sequence" and any(one["type"] != "ByteLevel" for one in processor["processors"]):
        inner = [one if one["type"] == "ByteLevel" else _untyped(one) for one in processor["processors"]]
        return {**processor, "processors": inner}
    if kind == "TemplateProcessing":
        return {**processor, "single": _of_type_0(processor["single"]), "pair": _of_type_0(processor["pair"])}
    if kind == "BertProcessing":
        (cls, cls_id), (sep, sep_id) = processor["cls"], processor["sep"]
        return _bare_template(
            [cls, "A", sep],
            [cls, "A", sep, "B", sep],
            {cls: {"id": cls, "ids": [cls_id], "tokens": [cls]}, sep: {"id": sep, "ids": [sep_id], "tokens": [sep]}},
        )
    if kind == "RobertaProcessing":
        return processor
    return _bare_template(["A"], ["A", "B"], {})


def _of_type_0(pieces: list[Parts]) -> list[Parts]:
    return [{kind: {**piece, "type_id": 0} for kind, piece in one.items()} for one in pieces]


def _bare_template(single: list[str], pair: list[str], special: Parts) -> Parts:
    def pieces(names: list[str]) -> list[Parts]:
        return [{"SpecialToken" if name in special else "Sequence": {"id": name, "type_id": 0}} for name in names]

    return {"type": "TemplateProcessing", "single": pieces(single), "pair": pieces(pair), "special_tokens": special}
