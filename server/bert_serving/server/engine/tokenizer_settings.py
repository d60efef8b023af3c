"""Settings of the tokenizer in a Hugging Face folder, besides the vocabulary: class, options, special tokens.

No TensorFlow. Precedence is that of Hugging Face's `transformers` 5: a class of BERT's kind takes case and accents from
tokenizer_config.json (or its own defaults) and not from tokenizer.json; all others take tokenizer.json as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_serving.server.engine.model_files import read_json
from bert_serving.server.engine.model_folder import ModelFolder
from bert_serving.server.errors import StartError

_BERT_NAMES = {"cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "pad": "[PAD]", "mask": "[MASK]"}
_ROBERTA_NAMES = {"cls": "<s>", "sep": "</s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}
_MPNET_NAMES = {**_ROBERTA_NAMES, "unk": "[UNK]"}
_ALBERT_NAMES = {**_BERT_NAMES, "unk": "<unk>", "pad": "<pad>"}
_BARE = ("TokenizersBackend", "PreTrainedTokenizer")
_TYPED = ("DebertaTokenizer", "DebertaV2Tokenizer", "FNetTokenizer")
_LIKE_BERT = (
    "BertTokenizer",
    "ConvBertTokenizer",
    "DPRContextEncoderTokenizer",
    "DPRQuestionEncoderTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "LayoutLMTokenizer",
    "MobileBertTokenizer",
    "RetriBertTokenizer",
    "SqueezeBertTokenizer",
)
WORD_PIECE = {**dict.fromkeys(_LIKE_BERT, _BERT_NAMES), "MPNetTokenizer": _MPNET_NAMES}
"""Classes that cut as BERT does, with the names of their special tokens."""
BYTE_LEVEL = dict.fromkeys(("RobertaTokenizer", "LongformerTokenizer", "BartTokenizer"), _ROBERTA_NAMES)
"""Classes that cut as RoBERTa does."""
SPECIAL_NAMES = {
    **WORD_PIECE,
    **BYTE_LEVEL,
    **dict.fromkeys(("XLMRobertaTokenizer", "CamembertTokenizer"), _ROBERTA_NAMES),
    **dict.fromkeys(("AlbertTokenizer", "DebertaV2Tokenizer"), _ALBERT_NAMES),
}
"""Classes that put special tokens around a text even if tokenizer.json has no template, and the names of these."""
_UNTYPED_WORD_PIECE = ("DistilBertTokenizer", "MPNetTokenizer")
_ELSEWHERE = (
    "BertJapaneseTokenizer",
    "BertweetTokenizer",
    "BioGptTokenizer",
    "BlenderbotSmallTokenizer",
    "ByT5Tokenizer",
    "CTRLTokenizer",
    "CanineTokenizer",
    "CpmAntTokenizer",
    "CpmTokenizer",
    "EsmTokenizer",
    "FSMTTokenizer",
    "FlaubertTokenizer",
    "GPTNeoXJapaneseTokenizer",
    "MyT5Tokenizer",
    "PerceiverTokenizer",
    "PhobertTokenizer",
    "ProphetNetTokenizer",
    "RoCBertTokenizer",
    "TapasTokenizer",
    "XLMTokenizer",
)
"""Classes that are Python code or need another program, such as MeCab, and never a `tokenizers` pipeline."""
_BY_MODEL_TYPE = {
    "bert": "BertTokenizer",
    "distilbert": "BertTokenizer",
    "electra": "ElectraTokenizer",
    "mpnet": "MPNetTokenizer",
    "nomic_bert": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "albert": "AlbertTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
}
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_MARKS = ("single_word", "lstrip", "rstrip", "normalized", "special")

Token = dict[str, Any]
"""An added token as tokenizer.json has it, without its id."""


@dataclass(frozen=True)
class TokenizerSettings:
    """`kind` is the tokenizer's class without "Fast"; `values` the content of tokenizer_config.json.

    `names` has the special token of each role, `added` what is to be a token of its own wherever it is written.
    `typed`: whether the second text of a pair may have type 1.
    """

    kind: str
    values: Mapping[str, Any]
    path: Path
    names: Mapping[str, str]
    added: tuple[Token, ...]
    typed: bool

    def flag(self, name: str, default: bool | None) -> bool | None:
        """A yes or no of tokenizer_config.json. Raises StartError for anything else."""
        value = self.values.get(name, default)
        if value is not None and not isinstance(value, bool):
            raise StartError(f"{self.path}: {name} must be true or false, not {json.dumps(value)}")
        return value


def settings_of(model: ModelFolder) -> TokenizerSettings:
    """Reads the small files of a Hugging Face folder. Raises StartError that names file and value."""
    folder = model.tokenizer_folder
    path = folder / "tokenizer_config.json"
    values = read_json(path) if path.is_file() else {}
    model_config = read_json(model.folder / "config.json")
    kind = values.get("tokenizer_class") or model_config.get("tokenizer_class")
    kind = kind or _BY_MODEL_TYPE.get(str(model_config.get("model_type", "bert")), _BARE[0])
    if not isinstance(kind, str):
        raise StartError(f"{path}: tokenizer_class must be a name, not {json.dumps(kind)}")
    kind = kind.removesuffix("Fast")
    if kind in _ELSEWHERE:
        words = values.get("word_tokenizer_type")
        by = f" (word_tokenizer_type {json.dumps(words)})" if words else ""
        raise StartError(
            f"{path}: tokenizer_class {kind}{by} splits words with code of its own, which is not supported: use "
            "a model "
            "whose tokenizer can be saved as tokenizer.json"
        )
    side = values.get("truncation_side", "right")
    if side != "right":
        raise StartError(f'{path}: truncation_side is {json.dumps(side)}, but only "right" can be served: change it')
    names, added = _special_tokens(folder, path, kind, values)
    return TokenizerSettings(kind, values, path, names, added, _is_typed(path, kind, values))


def _is_typed(path: Path, kind: str, values: Mapping[str, Any]) -> bool:
    inputs = values.get("model_input_names")
    if inputs is None:
        return kind in _TYPED or (kind in WORD_PIECE and kind not in _UNTYPED_WORD_PIECE)
    if not isinstance(inputs, list):
        raise StartError(f"{path}: model_input_names must be a list, not {json.dumps(inputs)}")
    return "token_type_ids" in inputs


def _special_tokens(
    folder: Path, path: Path, kind: str, values: Mapping[str, Any]
) -> tuple[dict[str, str], tuple[Token, ...]]:
    """The special token of each role, and all tokens to add: those that files name by id first."""
    listed: dict[str, Token] = {}
    named = {f"{role}_token": values[f"{role}_token"] for role in _ROLES if values.get(f"{role}_token")}
    more = values.get("extra_special_tokens") or values.get("additional_special_tokens") or []
    if isinstance(more, dict):  # from names of roles of its own
        more = list(more.values())
    if not isinstance(more, list):
        raise StartError(f"{path}: extra_special_tokens must be a list, not {json.dumps(more)}")
    decoder = values.get("added_tokens_decoder")
    if decoder is not None:
        if not isinstance(decoder, dict) or not all(index.isdecimal() for index in decoder):
            raise StartError(f"{path}: added_tokens_decoder must have a token for each id: copy the file again")
        for index in sorted(decoder, key=int):
            token = _token(path, decoder[index])
            listed[token["content"]] = token
    else:
        more_named, more = _old_map(folder / "special_tokens_map.json", more)
        named |= more_named
        listed = _old_list(folder / "added_tokens.json", {_content(value) for value in [*named.values(), *more]})
    for value in [*named.values(), *more]:
        token = {**_token(path, value), "special": True}
        listed.setdefault(token["content"], token)
    names = {role: _content(named[f"{role}_token"]) for role in _ROLES if f"{role}_token" in named}
    return {**_defaults(kind), **names}, tuple(listed.values())


def _old_map(path: Path, more: Any) -> tuple[dict[str, Any], Any]:
    """What special_tokens_map.json says of roles, and the special tokens without one."""
    if not path.is_file():
        return {}, more
    values = read_json(path)
    more = values.get("additional_special_tokens") or more
    return {name: value for name, value in values.items() if name.removesuffix("_token") in _ROLES and value}, more


def _old_list(path: Path, special: set[str]) -> dict[str, Token]:
    """The tokens of added_tokens.json, which old folders have besides the vocabulary, by their ids."""
    if not path.is_file():
        return {}
    ids = read_json(path)
    if not all(type(index) is int for index in ids.values()):
        raise StartError(f"{path} must have an id for each token: copy the file again")
    return {
        content: {**_plain(content), "normalized": content not in special, "special": content in special}
        for content in sorted(ids, key=ids.__getitem__)
    }


def _defaults(kind: str) -> dict[str, str]:
    return dict(SPECIAL_NAMES.get(kind, {}))


def _content(value: Any) -> str:
    return str(value.get("content")) if isinstance(value, dict) else str(value)


def _plain(content: str) -> Token:
    return {"content": content, **dict.fromkeys(_MARKS, False)}


def _token(path: Path, value: Any) -> Token:
    """A token from its name, or from all that is said of it. Raises StartError."""
    if isinstance(value, str):
        return _plain(value)
    if not isinstance(value, dict) or not isinstance(value.get("content"), str):
        raise StartError(f"{path}: {json.dumps(value)} is not a token: copy the file again")
    marks = {name: bool(value.get(name, False)) for name in _MARKS}
    marks["normalized"] = bool(value.get("normalized", not marks["special"]))
    return {"content": value["content"], **marks}
