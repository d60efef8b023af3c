"""`/encode` and `/v1/embeddings` with the options of a request: what Python gives for them, HTTP gives too."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from fake_engine import DIM, expected, vector_of, vector_of_view
from gateway_support import Browse, num_sent

from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.wanted import PooledView

TEXTS = ["First do it", "then do it right"]
MEAN, FIRST = PoolingStrategy.REDUCE_MEAN, PoolingStrategy.FIRST_TOKEN


def view_rows(view: PooledView, texts: list[str] = TEXTS) -> Any:
    return np.stack([vector_of_view(text, view) for text in texts])


def encoded(http: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/encode", json={"texts": TEXTS, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_one_view(http: httpx.Client) -> None:
    found = encoded(http, pooling="FIRST_TOKEN", layers=[-3, -2], normalize=True, dimensions=10)
    np.testing.assert_allclose(found["results"], view_rows(PooledView((FIRST,), (-3, -2), True, 10)), rtol=1e-6)
    nothing = dict.fromkeys(["pooling", "layers", "normalize", "dimensions", "views", "prompt", "truncate", "is_pair"])
    np.testing.assert_allclose(encoded(http, **nothing)["results"], expected(TEXTS), rtol=1e-7)


def test_several_views_come_one_after_the_other(http: httpx.Client) -> None:
    views = [{"pooling": "FIRST_TOKEN", "layers": [-3]}, {"dimensions": 3, "normalize": None}]
    first, second = encoded(http, views=views)["results"]
    np.testing.assert_allclose(first, view_rows(PooledView((FIRST,), (-3,), False)), rtol=1e-6)
    np.testing.assert_allclose(second, view_rows(PooledView((MEAN,), (-2,), False, 3)), rtol=1e-6)
    (alone,) = encoded(http, views=views[:1])["results"]
    assert alone == first


def test_octets_hold_one_view(http: httpx.Client) -> None:
    headers = {"Accept": "application/octet-stream"}
    one = http.post("/encode", json={"texts": TEXTS, "views": [{"layers": [-3]}]}, headers=headers)
    assert one.headers["X-Shape"] == f"2,{DIM}"
    before = num_sent(http)
    two = http.post("/encode", json={"texts": TEXTS, "views": [{"layers": [-3]}] * 2}, headers=headers)
    assert two.status_code == 422
    assert two.json()["error"]["param"] == "views"
    assert num_sent(http) == before


def test_large_views_are_whole_lists(http: httpx.Client) -> None:
    texts = [f"text {number}" for number in range(12_000)]  # above the size of a piece
    first, second = encoded(http, texts=texts, views=[{"layers": [-3]}, {"layers": [-2]}])["results"]
    np.testing.assert_allclose(first, view_rows(PooledView((MEAN,), (-3,), False), texts), rtol=1e-6)
    np.testing.assert_allclose(second, view_rows(PooledView((MEAN,), (-2,), False), texts), rtol=1e-6)


def test_a_prompt_by_name_or_as_a_text(http: httpx.Client) -> None:
    for prompt in ("query", "query: "):
        np.testing.assert_allclose(
            encoded(http, prompt=prompt)["results"], expected([f"query: {text}" for text in TEXTS]), rtol=1e-7
        )


def test_offsets_and_chunks(browse: Browse) -> None:
    http = browse(show_tokens_to_client=True)
    found = encoded(http, texts=["one two three four five six"], truncate="chunks", offsets=True)
    assert found["chunks"] == [[[0, 18], [19, 27]]]
    assert found["tokens"] == [["one", "two", "three", "four", "five", "six"]]
    assert "offsets" in found
    plain = encoded(http, offsets=True)
    assert plain["chunks"] is None


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"layers": [-1]}, 400, "layers: the server keeps none above -2, so not -1"),
    ({"pooling": "NO_SUCH"}, 400, "pooling must be one of"),
    ({"pooling": "LOGITS"}, 400, "needs a model with a classification head"),
    ({"dimensions": DIM + 1}, 400, "dimensions: a vector has only 8, not 9"),
    ({"prompt": "nothing"}, 400, "the model has no prompt 'nothing'"),
    ({"truncate": "middle"}, 400, "truncate must be one of right, left"),
    ({"truncate": "second"}, 400, "set is_pair"),
    ({"views": []}, 400, "views must be a list of 1 to 16|views: "),
    ({"views": [{"strategy": "x"}]}, 400, "a view has no 'strategy'"),
    ({"views": [{}] * 17}, 400, "views"),
    ({"views": [{}], "pooling": "NONE"}, 400, "use the former for one view"),
    ({"layers": "-1"}, 422, "layers"),
    ({"normalize": "yes"}, 422, "normalize"),
    ({"is_pair": True}, 422, "must be a pair"),
    ({"texts": ["a", "one two three four five"], "truncate": "error"}, 422, "more than 4 tokens"),
]


@pytest.mark.parametrize(("body", "status", "says"), REFUSED)
def test_what_cannot_be_done_is_said(http: httpx.Client, body: dict[str, Any], status: int, says: str) -> None:
    answer = http.post("/encode", json={"texts": TEXTS, **body})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert any(part in error["message"] for part in says.split("|")), error
    if "more than" in says:
        assert error["index"] == 1


def embedded(http: httpx.Client, **body: Any) -> Any:
    answer = http.post("/v1/embeddings", json={"input": "a", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"][0]["embedding"]


def test_openai_takes_null_and_what_it_does_not_know(http: httpx.Client) -> None:
    nothing = dict.fromkeys(["encoding_format", "dimensions", "user", "input_type", "prompt", "truncate"])
    found = embedded(http, model="any", **nothing, extra_body={"a": 1}, truncate_prompt_tokens=None)
    np.testing.assert_allclose(found, vector_of("a"), rtol=1e-7)


@pytest.mark.parametrize("field", ["input_type", "prompt_name", "task_type", "task"])
@pytest.mark.parametrize(
    ("role", "text"),
    [("query", "query: a"), ("search_query", "query: a"), ("RETRIEVAL_QUERY", "query: a"),
     ("document", "passage: a"), ("search_document", "passage: a"), ("retrieval.passage", "passage: a"),
     ("passage", "passage: a")],
)  # fmt: skip
def test_roles_end_in_prompts(http: httpx.Client, field: str, role: str, text: str) -> None:
    np.testing.assert_allclose(embedded(http, **{field: role}), vector_of(text), rtol=1e-7)


def test_a_role_without_a_prompt_is_refused_by_name(http: httpx.Client) -> None:
    before = num_sent(http)
    answer = http.post("/v1/embeddings", json={"input": "a", "input_type": "clustering"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "input_type"
    assert error["message"] == "input_type: the model has no prompt for 'clustering', it has 'query', 'passage'"
    both = http.post("/v1/embeddings", json={"input": "a", "input_type": "query", "prompt_name": "passage"})
    assert both.status_code == 422
    assert num_sent(http) == before


def test_openai_truncates_as_others_say_it(http: httpx.Client) -> None:
    long = "one two three four five"
    for cut in (True, "END", "right"):
        np.testing.assert_allclose(embedded(http, input=long, truncate=cut), vector_of(long), rtol=1e-7)
    for refused in (False, "NONE", "error"):
        answer = http.post("/v1/embeddings", json={"input": ["a", long], "truncate": refused})
        assert answer.status_code == 422
        assert answer.json()["error"]["index"] == 1
    assert http.post("/v1/embeddings", json={"input": "a", "dimensions": 9}).json()["error"]["param"] == "dimensions"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("late_chunking", True),
        ("truncate_prompt_tokens", 5),
        ("add_special_tokens", False),
        ("embedding_type", "binary"),
        ("embedding_type", ["float", "base64"]),
    ],
    ids=str,
)
def test_what_other_servers_take_and_would_change_the_answer_is_refused(
    http: httpx.Client, field: str, value: Any
) -> None:
    before = num_sent(http)
    answer = http.post("/v1/embeddings", json={"input": "a", field: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
    assert num_sent(http) == before


def test_what_others_say_and_is_so_anyway_is_taken(http: httpx.Client) -> None:
    usual = {
        "late_chunking": False,
        "truncate_prompt_tokens": -1,
        "add_special_tokens": True,
        "embedding_type": "float",
    }
    np.testing.assert_allclose(embedded(http, **usual), vector_of("a"), rtol=1e-6)
    for name in ("normalize", "normalized"):
        view = PooledView((MEAN,), (-2,), True)
        np.testing.assert_allclose(embedded(http, **{name: True}), view_rows(view, ["a"])[0], rtol=1e-6)
    assert http.post("/v1/embeddings", json={"input": "a", "normalize": True, "normalized": False}).status_code == 422
