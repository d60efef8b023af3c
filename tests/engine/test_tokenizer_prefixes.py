"""Of a long text no more is read than its first tokens need, with each kind of tokenizer that is known to allow it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from architectures import ARCHITECTURES, CASES, MODELS, content_of, copy_of, row_of, tiny, tokenizer_of
from hypothesis import given, settings
from hypothesis import strategies as st

WORDS = [
    *("the", "bridge", "winter", "History", "café", "naïve", "x" * 150, "погода", "и", "сегодня", "字字", "가나", "३"),
    *(
        " ",
        " ",
        " ",
        "  ",
        "\n",
        "\t",
        "\u3000",
        "\u200b",
        "\u0301",
        "\xa0",
        "ﬁ",
        "½",
        "™",
        "...",
        "!",
        "'s",
        "12",
        "3",
    ),
    *("[SEP]", "</s>", "<mask>", "[SE", "P]", "[", "]", "<", "s>", "\u2581", "\U0001f600"),
]
READ_IN_PART = [name for name in MODELS if "st_" not in name]


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(WORDS) | st.characters(exclude_categories=["Cs"]), max_size=60),
    st.integers(1, 30),
    st.integers(2, 40),
    st.sampled_from(READ_IN_PART),
)
def test_the_first_ids_are_those_of_the_whole_text(pieces: list[str], number: int, size: int, name: str) -> None:
    tokenizer = tiny(name)
    text = "".join(pieces)
    reader: Any = tokenizer._first_ids
    assert reader([text, text * 3], number, size) == [ids[:number] for ids in tokenizer.encode([text, text * 3])]


@pytest.mark.parametrize("name", READ_IN_PART)
def test_no_more_of_an_honest_text_is_read_than_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word for text in CASES["texts"] for word in text.split()]
    text = " ".join(random.Random(1).choices(words, k=100_000))
    tokenizer = tokenizer_of(ARCHITECTURES / name)
    lengths: list[int] = []
    encode = tokenizer._encode

    def counting(texts: list[str], **options: Any) -> Any:
        lengths.extend(map(len, texts))
        return encode(texts, **options)

    monkeypatch.setattr(tokenizer, "_encode", counting)
    row_of(tokenizer, text, 512)
    assert sum(lengths) < 30_000


@pytest.mark.parametrize(
    "part",
    [
        {"normalizer": {"type": "Replace", "pattern": {"Regex": "e (.*)$"}, "content": "x"}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": False}},
    ],
    ids=str,
)
def test_what_is_not_known_to_end_words_is_read_whole(part: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = tokenizer_of(copy_of("xlm_roberta", tmp_path, tokenizer={**content_of("xlm_roberta"), **part}))
    assert tokenizer._first_ids == tokenizer._whole
    text = "the bridge " * 500
    assert tokenizer.first_ids([text], 9) == [tokenizer.encode([text])[0][:9]]
