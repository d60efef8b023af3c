"""What fields of the dialects mean: roles as prompts, ways to cut, views only where they change something."""

from __future__ import annotations

from typing import Any

import pytest

from bert_serving.client.options import NO_OPTIONS
from bert_serving.client.views import View
from bert_serving.server.gateway.dialect import ROLES, one_of, prompt_of, truncate_of, vectors_as
from bert_serving.server.gateway.error_shapes import SHAPE, shape_of
from bert_serving.server.gateway.problems import Problem, Shape
from bert_serving.server.gateway.routes.rerank import CohereBody, TeiRerankBody, WeaviateBody, kind_of
from bert_serving.server.gateway.routes.tei import sequences_of
from bert_serving.server.gateway.tei_info import info_of

E5 = {"query": "query: ", "passage": "passage: "}
NOMIC = {"search_query": "search_query: ", "search_document": "search_document: ", "clustering": "clustering: "}
JINA = {"retrieval.query": "Q: ", "retrieval.passage": "P: "}


@pytest.mark.parametrize(
    ("prompts", "role", "name"),
    [
        (E5, "query", "query"),
        (E5, "search_query", "query"),
        (E5, "RETRIEVAL_QUERY", "query"),
        (E5, "document", "passage"),
        (E5, "search_document", "passage"),
        (NOMIC, "query", "search_query"),
        (NOMIC, "passage", "search_document"),
        (NOMIC, "clustering", "clustering"),
        (NOMIC, "CLUSTERING", "clustering"),
        (JINA, "query", "retrieval.query"),
        (JINA, "retrieval.passage", "retrieval.passage"),
        (JINA, "document", "retrieval.passage"),
        ({"query": "a: ", "search_query": "b: "}, "search_query", "search_query"),  # its very name comes first
        ({"Query": "a: "}, "query", "Query"),
        ({"legal": "L: "}, "legal", "legal"),
    ],
)
def test_a_role_is_the_prompt_of_that_name_or_its_like(prompts: dict[str, str], role: str, name: str) -> None:
    assert prompt_of(prompts, input_type=role) == name


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_changes_nothing_where_there_are_no_prompts(role: str) -> None:
    assert prompt_of({}, input_type=role) is None


@pytest.mark.parametrize(
    ("prompts", "role", "says"),
    [
        (E5, "classification", "input_type: the model has no prompt for 'classification', it has 'query', 'passage'"),
        ({"query": "Q: "}, "document", "it has 'query'"),
        ({}, "legal", "the model has no prompt for 'legal', it has none"),
    ],
)
def test_a_role_that_is_not_there_is_refused(prompts: dict[str, str], role: str, says: str) -> None:
    with pytest.raises(Problem, match=says) as caught:
        prompt_of(prompts, input_type=role)
    assert (caught.value.status, caught.value.param) == (400, "input_type")


def test_two_fields_may_say_the_same_and_nothing_else() -> None:
    assert prompt_of(E5, input_type="search_query", prompt_name="query", task_type=None) == "query"
    assert prompt_of(E5, prompt="query", input_type="query") == "query"
    assert prompt_of(E5, prompt="a text: ") == "a text: "
    assert prompt_of(E5, prompt="", input_type="") == ""
    assert prompt_of(E5) is None
    with pytest.raises(Problem, match="prompt and input_type want different prompts"):
        prompt_of(E5, prompt="", input_type="query")


@pytest.mark.parametrize(
    ("truncate", "direction", "option"),
    [
        (None, None, None),
        (True, None, None),
        (True, "Left", "left"),
        (None, "RIGHT", "right"),
        (False, "left", "error"),
        ("END", None, "right"),
        ("START", None, "left"),
        ("NONE", None, "error"),
        ("chunks", None, "chunks"),
        ("middle", None, "middle"),  # the table of options refuses it by name
    ],
)
def test_where_a_text_is_cut(truncate: Any, direction: str | None, option: str | None) -> None:
    assert truncate_of(truncate, direction) == option


def test_no_view_where_it_would_change_nothing() -> None:
    assert vectors_as(normalizes=True, normalize=True) == NO_OPTIONS
    assert vectors_as(normalizes=False, normalize=None) == NO_OPTIONS
    assert vectors_as(normalizes=True, normalize=False).views == (View(normalize=False),)
    for normalizes in (True, False):
        assert vectors_as(normalizes=normalizes, dimensions=3).views == (View(normalize=True, dimensions=3),)
        cut = vectors_as(normalizes=normalizes, normalize=False, dimensions=3)
        assert cut.views == (View(normalize=False, dimensions=3),)
    assert vectors_as(normalizes=False, normalize=True, prompt="query").prompt == "query"


@pytest.mark.parametrize(
    ("given", "status", "index"),
    [("", 400, None), ([], 400, None), (7, 422, None), ({}, 422, None), (["a", 1], 422, 1)],
)
def test_what_is_no_text(given: Any, status: int, index: int | None) -> None:
    with pytest.raises(Problem) as caught:
        one_of(given, "inputs")
    assert (caught.value.status, caught.value.index, caught.value.param) == (status, index, "inputs")


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ("a", (["a"], False, True)),
        (["a"], (["a"], False, True)),
        (["a", "b"], ([["a", "b"]], True, True)),
        ([["a"]], (["a"], False, False)),
        ([["a"], ["b"], ["c"]], (["a", "b", "c"], False, False)),
        ([["a", "b"], ["c", "d"]], ([["a", "b"], ["c", "d"]], True, False)),
    ],
)
def test_texts_and_pairs_as_tei_has_them(inputs: Any, found: Any) -> None:
    assert sequences_of(inputs) == found


@pytest.mark.parametrize("inputs", ["", [], {}, 5, ["a", "b", "c"], ["a", 1], [[]], [["a"], "b"], [["a"], ["b", "c"]]])
def test_what_is_neither(inputs: Any) -> None:
    with pytest.raises(Problem) as caught:
        sequences_of(inputs)
    assert caught.value.status in (400, 422)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"texts": []}, TeiRerankBody),
        ({"texts": ["a"], "documents": None}, TeiRerankBody),
        ({"documents": ["a"]}, CohereBody),
        ({"documents": ["a"], "texts": None, "model": "m"}, CohereBody),
        ({"documents": ["a"], "property": None}, WeaviateBody),
        ({"property": "a"}, WeaviateBody),
    ],
)
def test_fields_say_which_rerank_was_meant(fields: dict[str, Any], kind: type) -> None:
    assert kind_of({"query": "q", **fields}) is kind


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/embed", Shape.TEI),
        ("//embed/", Shape.TEI),
        ("/api/anything", Shape.PLAIN),
        ("/vectors", Shape.PLAIN),
        ("/rerank", Shape.NESTED),
        ("/encode", Shape.NESTED),
        ("/embeddings", Shape.NESTED),
    ],
)
def test_an_error_has_the_shape_of_its_path(path: str, shape: Shape) -> None:
    assert shape_of({"path": path}) is shape
    assert shape_of({"path": path, SHAPE: Shape.PLAIN}) is Shape.PLAIN


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (Problem(400, "inputs is empty"), "empty"),
        (Problem(400, "layers: there is none"), "validation"),
        (Problem(413, "too long"), "validation"),
        (Problem(422, "inputs: Field required"), "validation"),
        (Problem(422, "a text failed", index=0), "tokenizer"),
        (Problem(429, "busy"), "overloaded"),
        (Problem(500, "oh"), "backend"),
        (Problem(503, "loading"), "unhealthy"),
        (Problem(401, "a key"), "validation"),
    ],
)
def test_teis_types_of_errors(problem: Problem, kind: str) -> None:
    assert f'"error_type":"{kind}"'.encode() in bytes(problem.as_response(Shape.TEI).body)


def test_info_of_a_long_model() -> None:
    status = {"pooling_strategy": 4, "max_seq_len": None, "max_positions": 512, "fp16": True, "dtype": "float32"}
    info = info_of(status)
    assert (info["max_input_length"], info["model_dtype"]) == (512, "float16")
    assert info["model_type"] == {"embedding": {"pooling": "cls"}}
