"""What is asked of a call, in Python and on the wire."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bert_serving.client import View
from bert_serving.client.errors import InvalidInputType, InvalidInputValue, MalformedMessage
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.scores import Hit, Label, hits_of, labelled, labels_in, ranking
from bert_serving.client.views import MOST_VIEWS
from bert_serving.client.wire import decode_options, decode_reply, encode_options, encode_rows_reply


def test_options_go_over_the_wire_and_come_back() -> None:
    options = Options.asked(
        views=[View("REDUCE_MAX", [-1, -2], True, 5), View()], prompt="query", truncate="left", offsets=True
    )
    frame = encode_options(options)
    assert frame == (
        b'{"views":[{"pooling":"REDUCE_MAX","layers":[-1,-2],"normalize":true,"dimensions":5},{}],'
        b'"prompt":"query","truncate":"left","offsets":true}'
    )
    assert decode_options(frame) == options == decode_options(frame.replace(b"{}", b'{"pooling":null}'))


def test_one_view_by_its_fields() -> None:
    options = Options.asked(pooling="REDUCE_MAX", layers=[-1], normalize=False, dimensions=3)
    assert options == Options(views=(View("REDUCE_MAX", (-1,), False, 3),))
    assert not options.as_list
    assert Options.asked(views=[View()]).as_list
    assert Options.asked(pooling=None, prompt=None, is_pair=False) == NO_OPTIONS
    assert Options.asked(prompt="").prompt == ""


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"pooling": ""}, "views: pooling must be the name of a strategy"),
        ({"layers": []}, "views: layers must be 1 to 64 different negative whole numbers"),
        ({"layers": [1]}, "views: layers must be 1 to 64 different negative whole numbers"),
        ({"layers": [-1, -1]}, "different negative whole numbers"),
        ({"layers": [True]}, "views: layers must be"),
        ({"layers": -1}, "views: layers must be"),
        ({"normalize": 1}, "views: normalize must be true or false"),
        ({"dimensions": 0}, "views: dimensions must be a whole number above 0"),
        ({"dimensions": True}, "views: dimensions must be a whole number above 0"),
        ({"views": []}, "views: views must be a list of 1 to 16"),
        ({"views": [View()] * (MOST_VIEWS + 1)}, "views: views must be a list of 1 to 16"),
        (
            {"views": [{"poolings": "NONE"}]},
            "views: a view has no 'poolings'; its fields are pooling, layers, normalize",
        ),
        ({"views": ["NONE"]}, "views: each view must be a View"),
        ({"views": [View()], "layers": [-1]}, "layers and views: use the former for one view"),
        ({"prompt": 5}, "prompt must be the name of a prompt, or a text of at most 4000 characters, not 5"),
        ({"prompt": "\ud800 "}, "prompt must be"),
        ({"prompt": "x" * 4001}, "prompt must be"),
        ({"truncate": "middle"}, "truncate must be one of right, left, second, error, chunks, not 'middle'"),
        ({"truncate": ["left"]}, "truncate must be one of"),
        ({"is_pair": 1}, "is_pair must be true or false, not 1"),
        ({"offsets": "yes"}, "offsets must be true or false, not 'yes'"),
    ],
    ids=str,
)
def test_what_is_refused_is_named(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputValue) as caught:
        Options.asked(**asked)
    assert says in str(caught.value)


def test_an_argument_that_there_is_not() -> None:
    with pytest.raises(TypeError, match="unknown argument 'poling': the known ones are pooling, layers, "):
        Options.asked(poling="NONE")


def reply(**more: Any) -> Any:
    frames = encode_rows_reply(b"me", b"5", np.zeros((2, 3), np.float32), fingerprint="f", more=more)
    return decode_reply([bytes(frame) for frame in frames])


def test_what_an_answer_says_of_views_and_offsets() -> None:
    found = reply(model="m", views=[1, 2], offsets=[[[0, 0], [0, 5]], []], chunks=[[[0, 5]], [[0, 1], [2, 3]]])
    assert (found.fingerprint, found.model, found.views) == ("f", "m", (1, 2))
    assert found.offsets == [[[0, 0], [0, 5]], []]
    assert found.chunks == [[[0, 5]], [[0, 1], [2, 3]]]
    tokens = reply(offsets=[[[0, 0], [0, 5]], []], ids=[[101, 7], []], special=[[0], []])
    assert (tokens.ids, tokens.special) == ([[101, 7], []], [[0], []])
    plain = reply()
    assert (plain.model, plain.views, plain.offsets, plain.chunks) == ("", (), None, None)
    assert (plain.ids, plain.special) == (None, None)


@pytest.mark.parametrize(
    "more",
    [
        {"views": [1, 1]},
        {"views": [4, -1]},
        {"views": "3"},
        {"offsets": [[5]]},
        {"offsets": {}},
        {"chunks": [[[1, 2, 3]]]},
        {"ids": [7]},
        {"ids": [["7"]]},
        {"special": [[True]]},
    ],
    ids=str,
)
def test_an_answer_that_contradicts_itself(more: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        reply(**more)


def test_hits_are_best_first_and_those_alike_in_their_order() -> None:
    scores = np.array([[0.5], [0.9], [0.5], [0.1]], np.float32)
    assert [hit.index for hit in hits_of(scores, None)] == [1, 0, 2, 3]
    assert hits_of(scores, 2) == [Hit(1, float(np.float32(0.9))), Hit(0, 0.5)]


def test_labels_are_best_first() -> None:
    assert labelled(np.array([[0.25, 0.5, 0.25]]), ["a", "b", "c"]) == [
        [Label("b", 0.5), Label("a", 0.25), Label("c", 0.25)]
    ]
    assert labels_in({"labels": ["a"]}) == ["a"]
    configs: list[dict[str, Any]] = [{}, {"labels": []}, {"labels": None}, {"labels": [1]}]
    for config in configs:
        with pytest.raises(InvalidInputValue, match="has no labels"):
            labels_in(config)


def test_what_cannot_be_ranked() -> None:
    pairs, options = ranking("q", ("a", "b"))
    assert pairs == [("q", "a"), ("q", "b")]
    assert options == Options(views=(View("REGRESSION"),), truncate="second", is_pair=True)
    for query, documents in ((b"q", ["a"]), ("q", "abc"), ("q", 5), (["q"], ["a"])):
        with pytest.raises(InvalidInputType):
            ranking(query, documents)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(InvalidInputValue, match="top_k must be"):
            ranking("q", [], wrong)
