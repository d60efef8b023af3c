"""Tokenizers of every kind: ids as transformers has them, tokens as they are shown, special tokens, long texts.

`tests/golden/architectures` has a tiny model with its own tokenizer for each kind.
"""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.tokenization import TextTokenizer, load_tokenizer
from bert_serving.server.errors import ConfigError, StartError

FOLDER = Path(__file__).parents[1] / "golden" / "architectures"
CASES = json.loads((FOLDER / "cases.json").read_text())
SINGLE = sorted(name for name in CASES["models"] if not name.startswith(("st_", "cross_", "deberta")))
PAIRS = sorted(name for name in CASES["models"] if name.startswith("cross_"))
KINDS = ["bert_unigram", "roberta", "mpnet", "albert", "cross_bert", "modernbert"]


@lru_cache
def tokenizer_of(folder: Path, **options: Any) -> TextTokenizer:
    config = ServerConfig.from_mapping({"model_dir": str(folder), **options})
    return load_tokenizer(config, find_model(config))


def row_of(folder: Path, text: Any, limit: int = 64, **options: Any) -> Row:
    (row,) = FeatureMaker(tokenizer_of(folder, **options), limit).rows([text])
    assert isinstance(row, Row), row
    return row


def library(name: str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(FOLDER / name / "tokenizer.json"))
    tokenizer.no_truncation()
    return tokenizer


@pytest.mark.parametrize("name", SINGLE)
def test_ids_of_texts(name: str) -> None:
    expected = CASES["models"][name]
    rows = [row_of(FOLDER / name, text, expected["limit"]) for text in CASES["texts"]]
    assert [row.ids for row in rows] == expected["ids"]
    assert all(row.first_length == row.length for row in rows)
    assert [row.truncated for row in rows] == [
        len(library(name).encode(text.strip()).ids) > expected["limit"] for text in CASES["texts"]
    ]


@pytest.mark.parametrize("name", PAIRS)
def test_ids_of_pairs(name: str) -> None:
    expected = CASES["models"][name]
    rows = [row_of(FOLDER / name, " ||| ".join(pair), expected["limit"]) for pair in CASES["pairs"]]
    assert [row.ids for row in rows] == expected["ids"]
    for row in rows:
        assert (row.first_length < row.length) == (name == "cross_bert")  # the others' tokenizers feed no types
        separators = {row.ids[place] for place in row.special}
        assert len(separators) == 2
        assert [place for place, index in enumerate(row.ids) if index in separators] == list(row.special)


LONG = ("winter music river", "a market and the", "station history", "blood pressure")


@pytest.mark.parametrize("name", KINDS)
@given(counts=st.tuples(st.integers(1, 60), st.integers(1, 60)), words=st.permutations(LONG), limit=st.integers(8, 40))
def test_long_pairs_are_cut_as_the_library_does(
    name: str, counts: tuple[int, int], words: list[str], limit: int
) -> None:
    first, second = (" ".join([word] * count) for word, count in zip(words, counts, strict=False))
    ours = row_of(FOLDER / name, f"{first} ||| {second}", limit)
    own = tokenizer_of(FOLDER / name)
    ready = [own.tokens(ids) for ids in own.encode([first, second])]
    theirs = library(name)
    theirs.enable_truncation(limit, strategy="longest_first")
    assert ours.ids == theirs.encode(first, second).ids
    assert row_of(FOLDER / name, [*ready[0], "|||", *ready[1]], limit) == ours


@pytest.mark.parametrize("name", KINDS)
def test_tokens_and_ids_that_are_ready(name: str) -> None:
    own = tokenizer_of(FOLDER / name)
    for text in CASES["texts"]:
        row = row_of(FOLDER / name, text, 512)
        tokens = own.tokens(row.ids)
        assert tokens == [library(name).id_to_token(index) for index in row.ids]
        inside = [index for place, index in enumerate(row.ids) if place not in row.special]
        assert row_of(FOLDER / name, own.tokens(inside), 512) == row
        assert row_of(FOLDER / name, inside, 512) == row


@pytest.mark.parametrize("name", KINDS)
def test_a_ready_token_that_is_unknown(name: str) -> None:
    (row,) = FeatureMaker(tokenizer_of(FOLDER / name), 64).rows([["no such token at all"]])
    if name in ("roberta", "modernbert"):  # bytes make up every word
        assert row == "the vocabulary has no token 'no such token at all', and none for unknown ones"
    else:
        assert isinstance(row, Row)
        assert row.ids[1] == tokenizer_of(FOLDER / name).unk


SEPARATORS = {
    "bert_unigram": "</s>", "roberta": "</s>", "mpnet": "</s>", "albert": "[SEP]", "cross_bert": "[SEP]",
    "modernbert": "[SEP]",
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_special_token_in_a_text(name: str) -> None:
    token = SEPARATORS[name]
    text = f"winter{token}music"
    separator = library(name).get_vocab()[token]
    as_folder = row_of(FOLDER / name, text)
    assert as_folder.ids == library(name).encode(text).ids
    assert as_folder.ids.count(separator) == 2
    as_text = row_of(FOLDER / name, text, special_tokens="text")
    assert as_text.ids.count(separator) == 1
    assert as_text.length > as_folder.length


WORDS = st.lists(
    st.one_of(
        st.sampled_from(
            ["winter", "music,", "a", "station", "e\u0301", "\u4f60\u597d", "\uff41b", "[SEP]", "</s>", "1.5"]
        ),
        st.text(max_size=6),
    ),
    max_size=40,
)
SPACES = st.sampled_from([" ", " ", " ", "  ", "\n", "\u00a0", "\u3000", ""])


@pytest.mark.parametrize("name", KINDS)
@given(words=WORDS, space=SPACES, number=st.integers(1, 50), repeats=st.integers(1, 40))
def test_the_first_ids_of_a_long_text(name: str, words: list[str], space: str, number: int, repeats: int) -> None:
    own = tokenizer_of(FOLDER / name)
    text = " and then ".join([space.join(words)] * repeats)
    if not text.isascii():
        text = text.encode("utf-8", "ignore").decode()
    assert own.first_ids([text], number) == [own.encode([text])[0][:number]]


@pytest.mark.parametrize("name", KINDS)
def test_of_a_long_text_no_more_is_read_than_is_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ServerConfig.from_mapping({"model_dir": str(FOLDER / name)})
    own = load_tokenizer(config, find_model(config))
    read: list[int] = []
    encode = own._encode

    def note(texts: list[str], **rest: Any) -> Any:
        read.extend(map(len, texts))
        return encode(texts, **rest)

    monkeypatch.setattr(own, "_encode", note)
    own.first_ids(["winter music " * 100_000], 20)
    assert sum(read) < 5_000


def copied(name: str, to: Path, *without: str, **files: Any) -> Path:
    folder = to / name
    shutil.copytree(FOLDER / name, folder)
    for file in without:
        (folder / file).unlink()
    for file, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / file.replace("__", ".")).write_text(text)
    return folder


def test_byte_pairs_without_tokenizer_json(tmp_path: Path) -> None:
    model = json.loads((FOLDER / "roberta" / "tokenizer.json").read_text())["model"]
    merges = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in model["merges"])])
    folder = copied("roberta", tmp_path, "tokenizer.json", vocab__json=model["vocab"], merges__txt=merges + "\n")
    for text in [*CASES["texts"], "winter</s>music<pad> x"]:
        assert row_of(folder, text, 64).ids == row_of(FOLDER / "roberta", text, 64).ids


@pytest.mark.parametrize("name", ["mpnet", "distilbert", "electra", "cross_bert"])
def test_word_pieces_without_tokenizer_json(name: str, tmp_path: Path) -> None:
    content = json.loads((FOLDER / name / "tokenizer.json").read_text())
    ids = library(name).get_vocab()
    lines = "".join(f"{token}\n" for token in sorted(ids, key=ids.__getitem__))
    kinds = {"mpnet": "MPNetTokenizer", "distilbert": "DistilBertTokenizer", "electra": "ElectraTokenizer"}
    about = {"tokenizer_class": kinds.get(name, "BertTokenizer")}
    folder = copied(name, tmp_path, "tokenizer.json", vocab__txt=lines, tokenizer_config__json=about)
    special = content["added_tokens"][0]["content"]
    for text in [*CASES["texts"], f"winter{special}music"]:
        assert row_of(folder, text, 64).ids == row_of(FOLDER / name, text, 64).ids
    for pair in CASES["pairs"]:
        assert row_of(folder, " ||| ".join(pair), 64).ids == row_of(FOLDER / name, " ||| ".join(pair), 64).ids


def test_tokens_that_were_added_to_a_vocabulary(tmp_path: Path) -> None:
    ids = library("cross_bert").get_vocab()
    lines = "".join(f"{token}\n" for token in sorted(ids, key=ids.__getitem__)[:-2])
    last = len(ids) - 2
    about = {
        "tokenizer_class": "BertTokenizer",
        "added_tokens_decoder": {str(last): {"content": "<url>", "special": True, "normalized": False}},
    }
    folder = copied(
        "cross_bert", tmp_path, "tokenizer.json", vocab__txt=lines, tokenizer_config__json=about,
        added_tokens__json={"<user>": last + 1},
    )  # fmt: skip
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": len(ids) - 2 + 64 - (len(ids) - 2) % 64}))
    row = row_of(folder, "music <url> and <user>")
    assert last in row.ids
    assert last + 1 in row.ids


@pytest.mark.parametrize(
    ("about", "types"),
    [
        ({"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}, True),
        ({"model_input_names": ["input_ids", "attention_mask"]}, False),
        ({"tokenizer_class": "BertTokenizer"}, True),
        ({"tokenizer_class": "BertTokenizerFast"}, True),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, False),
        ({"tokenizer_class": "TokenizersBackend"}, False),
        ({}, True),
    ],
    ids=str,
)
def test_whether_types_are_fed(about: dict[str, Any], types: bool, tmp_path: Path) -> None:
    folder = copied("cross_bert", tmp_path, tokenizer_config__json=about)
    row = row_of(folder, "winter ||| music")
    assert (row.first_length < row.length) == types


def test_cased_tokenization_keeps_case_of_any_normalizer() -> None:
    assert row_of(FOLDER / "albert", "WINTER", cased_tokenization=True).ids != row_of(FOLDER / "albert", "winter").ids
    assert row_of(FOLDER / "albert", "WINTER").ids == row_of(FOLDER / "albert", "winter").ids
    with pytest.raises(ConfigError, match="-cased_tokenization changes nothing"):
        tokenizer_of(FOLDER / "roberta", cased_tokenization=True)


@pytest.mark.parametrize(
    ("name", "without", "files", "reason"),
    [
        ("cross_bert", (), {"tokenizer_config__json": {"tokenizer_class": "BertJapaneseTokenizer"}}, "MeCab"),
        ("roberta", (), {"tokenizer_config__json": {"tokenizer_class": "PhobertTokenizer"}}, "VnCoreNLP"),
        ("roberta", ("tokenizer.json",), {}, "has no tokenizer"),
        ("xlm_roberta", ("tokenizer.json",), {"sentencepiece__bpe.model": "x"}, "sentencepiece.bpe.model alone"),
        ("albert", ("tokenizer.json",), {"spiece__model": "x"}, "spiece.model alone"),
        ("roberta", ("tokenizer.json",), {"vocab__json": {"<s>": 0}}, "merges.txt is missing"),
        ("roberta", ("tokenizer.json",), {"vocab__json": {"<s>": 0}, "merges__txt": "a b\n"}, "no </s>"),
        ("mpnet", (), {"tokenizer__json": "{"}, "tokenizer.json is not valid JSON"),
        ("mpnet", (), {"tokenizer__json": "version https://git-lfs.github.com/spec/v1\n"}, "Git LFS pointer"),
        ("mpnet", (), {"tokenizer__json": {"version": "1.0"}}, "holds no tokenizer"),
        ("mpnet", (), {"config__json": "smaller"}, "ids up to .* but vocab_size is 100"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    name: str, without: tuple[str, ...], files: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    if "config__json" in files:
        files = {"config__json": {**json.loads((FOLDER / name / "config.json").read_text()), "vocab_size": 100}}
    folder = copied(name, tmp_path, *without, **files)
    with pytest.raises(StartError, match=reason):
        tokenizer_of(folder)
