"""The texts that are sent."""

from __future__ import annotations

from bert_serving.server.benchmark.workloads import (
    LONGEST_PASSAGE,
    POOL_SIZE,
    TextPool,
    counted,
    make_pool,
    sentences,
    vocabulary,
)

PAGE = """\
# A title

First do it. Then do it right!  Then do
it better? 北京。上海。

| --- | --- |

`a ||| b` is a pair
"""


def test_sentences_stand_on_one_line_and_have_words() -> None:
    assert sentences(PAGE) == [
        "# A title",
        "First do it.",
        "Then do it right!",
        "Then do it better?",
        "北京。",
        "上海。",
        "`a b` is a pair",
    ]


def test_vocabulary_is_that_of_blanks() -> None:
    assert vocabulary("to be or not to be ||| x") == ["be", "not", "or", "to", "x"]


def test_words_are_as_many_as_the_length() -> None:
    pool = make_pool("words", PAGE, 40, seed=3)
    assert {len(text.split()) for text in pool.texts} == {40}
    assert len(set(pool.texts)) == POOL_SIZE
    assert pool == make_pool("words", PAGE, 40, seed=3) != make_pool("words", PAGE, 40, seed=4)
    assert {len(text.split()) for text in make_pool("words", PAGE, None, seed=3).texts} == {25}


def test_passages_are_of_mixed_length_and_half_of_them_one_sentence() -> None:
    page = " ".join(f"Sentence {number} stands here." for number in range(500))
    lengths = [text.count(".") for text in make_pool("sentences", page, 25, seed=3).texts]
    assert set(range(1, LONGEST_PASSAGE + 1)) == set(lengths)
    assert 0.45 < lengths.count(1) / POOL_SIZE < 0.55


def test_requests_go_through_the_pool_again_and_again() -> None:
    pool = TextPool(("a", "b", "c"))
    assert [pool.request(number, 2)[0] for number in range(3)] == [["a", "b"], ["c", "a"], ["b", "c"]]
    assert pool.request(0, 7) == (["a", "b", "c", "a", "b", "c", "a"], None)


def test_tokens_of_a_request_are_those_of_its_texts() -> None:
    pool = counted(TextPool(("a", "bb", "ccc")), lambda texts: [len(text) for text in texts])
    assert pool.request(1, 2) == (["ccc", "a"], 4)
    assert counted(pool, None) is pool
