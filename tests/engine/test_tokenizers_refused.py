"""Tokenizers that are refused at the start: the sentence names file, value and cure, and nothing of the folder runs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from architectures import ARCHITECTURES, content_of, copy_of, tokenizer_of

from bert_serving.server.errors import StartError

CLS = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
A, B = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
SPECIAL = {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}}


def template(single: list[Any], pair: list[Any]) -> dict[str, Any]:
    return {"post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": SPECIAL}}


def charsmap(content: bytes) -> dict[str, Any]:
    return {"normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(content).decode()}}


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"model": {"type": "Neural", "vocab": {"a": 0}}}, 'the model is "Neural", but only WordPiece, BPE'),
        ({"model": None}, "has no model with a vocabulary"),
        ({"model": {"type": "WordPiece", "vocab": {}}}, "has no model with a vocabulary"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}, "cannot be read by"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}}, "dropout 0.1, which cuts at ran"),
        ({"normalizer": {"type": "Unheard"}}, "cannot be read by the package tokenizers"),
        ({"normalizer": {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}}, "cannot be read by"),
        ({"normalizer": "Lowercase"}, "cannot be read by the package tokenizers"),
        ({"pre_tokenizer": {"type": "Unheard"}}, "cannot be read by the package tokenizers"),
        ({"pre_tokenizer": []}, "cannot be read by the package tokenizers"),
        ({"post_processor": {"type": "Unheard"}}, "cannot be read|is not a tokenizer"),
        ({"post_processor": {"no": "type"}}, "cannot be read|is not a tokenizer"),
        ({"added_tokens": {}}, "added_tokens must be a list of tokens"),
        ({"added_tokens": [{"id": "0", "content": "a"}]}, "added_tokens must be a list of tokens"),
        (charsmap(b""), "precompiled_charsmap is broken"),
        (charsmap(b"\xff\xff\xff\x7fabc"), "precompiled_charsmap is broken"),
        (charsmap(bytes([0, 4, 0, 0]) + bytes(1024) + b"\xff"), "precompiled_charsmap is broken"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "!"}}, "precompiled_charsmap is broken"),
        (template([CLS], [CLS, A, B]), "makes no token of any text"),
        (template([CLS, A], [CLS, B, A]), "another order"),
        (template([CLS, A, A], [CLS, A, B]), "twice, or not at all"),
        (template([CLS] * 5 + [A], [CLS, A, B]), "adds 5 special tokens, but at most 4"),
        (template([{"Sequence": {"id": "A", "type_id": 2}}], [A, B]), r"gives the type ids \[2.*only 0 and then 1"),
    ],
    ids=str,
)
def test_parts_that_cannot_be_served(
    parts: dict[str, Any], sentence: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of("cross_bert", tmp_path, tokenizer={**content_of("cross_bert"), **parts})
    with pytest.raises(StartError, match=rf"tokenizer\.json.*({sentence})"):
        tokenizer_of(folder)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "is not valid JSON"),
        (b"[]", "must hold a JSON object"),
        (b"{}", "has no model"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"model": {"type": "WordPiece", "vocab": {"\\ud800": 0}}}', "cannot be read|no .CLS."),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    ],
)
def test_files_that_are_broken(content: bytes, sentence: str, tmp_path: Path) -> None:
    folder = copy_of("cross_bert", tmp_path)
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(StartError, match=rf"tokenizer\.json.*({sentence})"):
        tokenizer_of(folder)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}, 'word_tokenizer_type "mecab"'),
        ({"tokenizer_class": "BertweetTokenizer"}, "BertweetTokenizer splits words with code of its own"),
        ({"tokenizer_class": "PhobertTokenizer"}, "PhobertTokenizer splits words with code of its own"),
        ({"tokenizer_class": 3}, "tokenizer_class must be a name, not 3"),
        ({"truncation_side": "left"}, 'truncation_side is "left", but only "right"'),
        ({"model_input_names": "input_ids"}, "model_input_names must be a list"),
        ({"added_tokens_decoder": ["a"]}, "added_tokens_decoder must have a token for each id"),
        ({"added_tokens_decoder": {"5": {"id": 5}}}, '{"id": 5} is not a token'),
        ({"cls_token": 7}, "7 is not a token"),
        ({"extra_special_tokens": "new"}, "extra_special_tokens must be a list"),
        ({"split_special_tokens": "yes"}, "split_special_tokens must be true or false"),
        ({"tokenizer_class": "BertTokenizer", "do_lower_case": "yes"}, "do_lower_case must be true or false"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_served(values: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    config = {**content_of("cross_bert", "tokenizer_config"), **values}
    with pytest.raises(StartError, match=rf"tokenizer_config\.json.*{sentence}"):
        tokenizer_of(copy_of("cross_bert", tmp_path, tokenizer_config=config))


@pytest.mark.parametrize("name", ["cross_bert", "roberta", "xlm_roberta"])
def test_more_tokens_than_the_table_has(name: str, tmp_path: Path) -> None:
    config = content_of(name, "config")
    size = config["vocab_size"]
    folder = copy_of(name, tmp_path, config={**config, "vocab_size": size - 1})
    with pytest.raises(
        StartError, match=rf"tokenizer\.json has the token .* id {size - 1}, but vocab_size is {size - 1}"
    ):
        tokenizer_of(folder)
    tokenizer_of(copy_of(name, tmp_path, config={**config, "vocab_size": size + 17}))
    folder = copy_of(name, tmp_path, config=config, added_tokens={"<new>": size})
    with pytest.raises(StartError, match=rf'has the token "<new>" with the id {size}, but vocab_size is {size}'):
        tokenizer_of(folder)


@pytest.mark.parametrize("file", ["sentencepiece.bpe.model", "spiece.model", "spm.model", "vocab.txt", "merges.txt"])
def test_files_that_are_not_enough(file: str, tmp_path: Path) -> None:
    folder = copy_of("xlm_roberta", tmp_path, tokenizer=None, tokenizer_config={"tokenizer_class": "AlbertTokenizer"})
    with pytest.raises(StartError, match=r"tokenizer\.json is missing, and so is vocab\.txt"):
        tokenizer_of(folder)
    (folder / file).write_bytes(b"x")
    with pytest.raises(StartError, match=rf"tokenizer\.json is missing, and {file} of a AlbertTokenizer.*save_"):
        tokenizer_of(folder)


@pytest.mark.parametrize(
    ("merges", "sentence"),
    [
        (b"a b c\n", r"merges\.txt has a line 'a b c' that is not a pair"),
        (b"\xff", r"merges\.txt is not UTF-8"),
        (b"x y\n", "cannot be read by the package tokenizers"),
    ],
)
def test_broken_merges(merges: bytes, sentence: str, tmp_path: Path) -> None:
    config = {"tokenizer_class": "RobertaTokenizer"}
    vocab = {token: place for place, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "a", "b"))}
    folder = copy_of("roberta", tmp_path, tokenizer=None, tokenizer_config=config, vocab=vocab)
    (folder / "merges.txt").write_bytes(merges)
    with pytest.raises(StartError, match=sentence):
        tokenizer_of(folder)


def test_case_that_is_one_of_many_steps() -> None:
    with pytest.raises(
        StartError, match=r"-cased_tokenization is not possible with .*tokenizer\.json.* includes Lowercase"
    ):
        tokenizer_of(ARCHITECTURES / "albert", cased_tokenization=True)
    assert tokenizer_of(ARCHITECTURES / "roberta", cased_tokenization=True)
    cased = tokenizer_of(ARCHITECTURES / "electra", cased_tokenization=True)
    assert cased.encode(["HELLO"]) != cased.encode(["hello"])


def test_a_class_and_a_file_that_contradict_each_other(tmp_path: Path) -> None:
    config = {"tokenizer_class": "AlbertTokenizer", "do_lower_case": False}
    with pytest.raises(StartError, match=r"tokenizer_config\.json: do_lower_case is false, but tokenizer\.json does"):
        tokenizer_of(copy_of("albert", tmp_path, tokenizer_config=config))


def test_a_class_without_its_special_tokens(tmp_path: Path) -> None:
    content = content_of("mpnet")
    config = {"tokenizer_class": "BertTokenizer"}
    folder = copy_of("mpnet", tmp_path, tokenizer={**content, "post_processor": None}, tokenizer_config=config)
    with pytest.raises(StartError, match=r"tokenizer\.json: the vocabulary has no \[CLS\], which BertTokenizer puts"):
        tokenizer_of(folder)
    assert json.loads((folder / "tokenizer.json").read_text())["post_processor"] is None
