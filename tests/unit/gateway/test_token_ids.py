"""Token ids over OpenAI's API: refused, of the model's vocabulary, or turned back into texts; nothing is fetched."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import example, given
from hypothesis import strategies as st
from serving import fake_config

from bert_serving.client.checks import check_texts
from bert_serving.client.errors import InvalidInputValue
from bert_serving.server import BertServer, ConfigError
from bert_serving.server.gateway import cl100k, token_ids
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.token_ids import FromVocabulary, of_model, reader_of, refused

MERGED = [b"he", b"llo", b"hello", " wörld".encode(), b" " * 100]
TINY = tiktoken.Encoding(
    "tiny",
    pat_str=r"\S+|\s+",
    mergeable_ranks={
        **{bytes([byte]): byte for byte in range(256)},
        **{word: 256 + i for i, word in enumerate(MERGED)},
    },
    special_tokens={"<|endoftext|>": 300},
)
read = FromVocabulary(TINY, "tiny", max_bytes=1 << 20)


def ids_of(text: str) -> list[int]:
    return TINY.encode(text, allowed_special="all")


@given(st.lists(st.text(), min_size=1))
@example(["hello wörld", "a", "<|endoftext|>", "\N{GRINNING FACE}"])
def test_texts_come_back_as_they_were(texts: list[str]) -> None:
    assert read([ids_of(text) for text in texts]) == (texts, False)


BAD: list[tuple[list[Any], int, str]] = [
    ([[104], [261]], 1, r"input\[1\] holds the token id 261, which tiny does not have: its last one is 300"),
    ([[104], [104, 299, 500]], 1, "the token id 299"),
    ([[301]], 0, "the token id 301"),
    ([[-1]], 0, "the token id -1"),
    ([[104], [104], [1 << 40]], 2, "the token id 1099511627776"),
    ([[104], [0xC3]], 1, r"the token ids of input\[1\] make no text: byte 0 of 1 is no UTF-8"),
    ([[104], ids_of("a\N{GRINNING FACE}")[:-1]], 1, "byte 1 of 4 is no UTF-8"),
    ([[0xED, 0xA0, 0xBD]], 0, "is no UTF-8"),  # half of a surrogate pair
    ([[104], "a"], 1, r"input\[1\] is no list of token ids"),
    (["a", [104]], 0, r"input\[0\] is no list of token ids"),
    ([[104], None], 1, "is no list of token ids"),
    ([[104], [104, "a"]], 1, r"input\[1\] must be a text: its list does not hold token ids"),
    ([[True]], 0, "does not hold token ids"),
    ([[1.0]], 0, "does not hold token ids"),
    ([[[104]]], 0, "does not hold token ids"),
]


@pytest.mark.parametrize(("given", "index", "says"), BAD, ids=[str(row[0]) for row in BAD])
def test_ids_that_are_no_text_are_refused_with_their_place(given: list[Any], index: int, says: str) -> None:
    with pytest.raises(Problem, match=says) as caught:
        read(given)
    assert (caught.value.status, caught.value.param, caught.value.index) == (422, "input", index)


@pytest.mark.parametrize("blank", ["", " ", "\n\t", "\N{ZERO WIDTH SPACE}", "\0"])
def test_blank_texts_are_left_to_the_check_of_all_texts(blank: str) -> None:
    texts, is_tokenized = read([ids_of("hello"), ids_of(blank)])
    with pytest.raises(InvalidInputValue, match=r"texts\[1\] must not be blank") as caught:
        check_texts(texts, is_tokenized)
    assert caught.value.index == 1


def test_few_ids_do_not_become_more_bytes_than_a_body_may_have() -> None:
    long = 256 + MERGED.index(b" " * 100)
    some = FromVocabulary(TINY, "tiny", max_bytes=1000)
    assert some([[long] * 5, [long] * 5])[0] == [" " * 500] * 2
    for lists, index in (([[long] * 11], 0), ([[long] * 5, [long] * 6], 1), ([[long] * 10, [104]], 1)):
        with pytest.raises(Problem, match="-http_max_body") as caught:
            some(lists)
        assert (caught.value.status, caught.value.index) == (413, index)


@pytest.mark.parametrize("given", [[[1, 2]], [[1], "a"], ["a", [1]], [[1], ["a"]], [[]]])
def test_ids_are_refused_with_the_one_argument_that_helps(given: list[Any]) -> None:
    with pytest.raises(Problem, match=r"check_embedding_ctx_length=False.*-openai_token_ids cl100k") as caught:
        refused(given)
    assert (caught.value.status, caught.value.param) == (422, "input")
    assert isinstance(given[caught.value.index or 0], list)


def test_a_list_of_words_is_not_called_ids() -> None:
    for read_it in (refused, of_model, read):
        with pytest.raises(Problem, match=r"input\[0\] must be a text: its list does not hold token ids"):
            read_it([["two", "words"]])


def test_ids_of_the_model_stay_as_they_are() -> None:
    assert of_model([[1, 2], [3]]) == ([[1, 2], [3]], True)
    assert reader_of("model", 1) is token_ids.of_model
    assert reader_of("refuse", 1) is token_ids.refused


# -- the vocabulary's file --------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Whoever wants to connect to anything fails; the calls."""
    calls: list[Any] = []

    def refuse(*about: Any, **_: Any) -> None:
        calls.append(about)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return calls


def test_the_file_is_called_as_tiktoken_calls_it() -> None:
    public = Path(importlib.import_module("tiktoken_ext.openai_public").__file__ or "").read_text()
    assert f'"{cl100k.URL}"' in public
    assert f'"{cl100k.SHA256}"' in public
    assert sha1(cl100k.URL.encode()).hexdigest() == cl100k.FILE_NAME == "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot be read (No such file or directory), and nothing is fetched: put the file"),
    "another": (lambda path: path.write_bytes(b"aGVsbG8= 0\n"), "is not the file of https://openaipublic"),
    "empty": (lambda path: path.write_bytes(b""), "is not the file of"),
    "a folder": (lambda path: path.mkdir(), "cannot be read (it is no file)"),
    "a pipe": (lambda path: os.mkfifo(path), "cannot be read (it is no file)"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "cannot be read (it is no file)"),
}


def state_of(path: Path) -> tuple[int, ...] | None:
    found = path.lstat() if path.is_symlink() or path.exists() else None
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_without_the_file_does_not_start_and_fetches_nothing(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[Any]
) -> None:
    make, says = FAULTS[fault]
    path = tmp_path / cl100k.FILE_NAME
    make(path)
    before = state_of(path)
    monkeypatch.setenv(cl100k.FOLDER_VARIABLE, str(tmp_path))
    config = fake_config(http_port=1, openai_token_ids="cl100k")
    for start in (lambda: BertServer(config), lambda: reader_of("cl100k", 1)):
        with pytest.raises(ConfigError) as caught:
            start()
        assert says in str(caught.value)
        assert str(path) in str(caught.value)
    assert not offline
    assert state_of(path) == before, "tiktoken removes a file that it does not know"


@pytest.mark.parametrize("folder", [None, ""])
def test_the_folder_has_to_be_named(folder: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cl100k.FOLDER_VARIABLE, raising=False)
    if folder is not None:
        monkeypatch.setenv(cl100k.FOLDER_VARIABLE, folder)
    with pytest.raises(ConfigError, match="needs the variable TIKTOKEN_CACHE_DIR: the folder with OpenAI's vocabulary"):
        BertServer(fake_config(http_port=1, openai_token_ids="cl100k"))


def test_tiktoken_has_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cl100k, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs tiktoken: .* pip install 'bert-serving-server\[tiktoken\]'"):
        BertServer(fake_config(http_port=1, openai_token_ids="cl100k"))


def test_without_http_no_vocabulary_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cl100k.FOLDER_VARIABLE, raising=False)
    BertServer(fake_config(openai_token_ids="cl100k"))


def test_the_option_is_one_of_three_from_python_too() -> None:
    with pytest.raises(ConfigError, match="-openai_token_ids must be one of refuse, model, cl100k, not 'yes'"):
        fake_config(openai_token_ids="yes")
