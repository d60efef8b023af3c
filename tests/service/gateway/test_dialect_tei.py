"""The API of text-embeddings-inference: bodies as its clients send them, answers and errors as it gives them."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
from fake_engine import DIM, HEADS, expected, scores_of, vector_of, vector_of_view
from gateway_support import Browse, num_sent, post

from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.wanted import PooledView

LONG = "one two three four five"
UNIT = PooledView((PoolingStrategy.REDUCE_MEAN,), (-2,), True)
LOGITS, SHARES, SCORE = PoolingStrategy.LOGITS, PoolingStrategy.CLASSIFICATION, PoolingStrategy.REGRESSION


def unit(texts: list[str], dimensions: int | None = None) -> Any:
    return np.stack([vector_of_view(text, PooledView(UNIT.poolings, (-2,), True, dimensions)) for text in texts])


def test_embed(http: httpx.Client) -> None:
    np.testing.assert_allclose(post(http, "/embed", {"inputs": "a"}), unit(["a"]), rtol=1e-6)
    whole = {"inputs": ["a", "b"], "truncate": True, "truncation_direction": "Right", "prompt_name": None,
             "normalize": True, "dimensions": 3}  # fmt: skip
    np.testing.assert_allclose(post(http, "/embed", whole), unit(["a", "b"], 3), rtol=1e-6)
    plain = {"inputs": ["a", "b"], "normalize": False, "truncate": None, "truncation_direction": None}
    np.testing.assert_allclose(post(http, "/embed", plain), expected(["a", "b"]), rtol=1e-7)
    query = {"inputs": "a", "normalize": False, "prompt_name": "query"}
    np.testing.assert_allclose(post(http, "/embed", query), expected(["query: a"]), rtol=1e-7)


@pytest.mark.parametrize("direction", ["left", "Left", "right", "Right", None])
def test_the_direction_in_any_case(http: httpx.Client, direction: str | None) -> None:
    body = {"inputs": LONG, "truncate": True, "truncation_direction": direction, "normalize": False}
    np.testing.assert_allclose(post(http, "/embed", body), expected([LONG]), rtol=1e-7)


def test_embed_all_has_a_vector_for_each_token(http: httpx.Client) -> None:
    first, second = post(http, "/embed_all", {"inputs": ["abc", "a"], "truncate": True})
    view = PooledView((PoolingStrategy.NONE,), (-2,), False)
    np.testing.assert_allclose(first, [vector_of_view("abc", view)] * 3, rtol=1e-6)  # a character is a token here
    np.testing.assert_allclose(second, [vector_of_view("a", view)], rtol=1e-6)
    assert len(post(http, "/embed_all", {"inputs": "abc"})) == 1


def test_matrices_are_no_measure_of_vectors(browse: Browse) -> None:
    http = browse(http_max_answers=1, max_seq_len=4_000)
    for _ in range(2):
        assert len(post(http, "/embed_all", {"inputs": ["x" * 4_000]})[0]) == 4_000
    post(http, "/embed", {"inputs": ["a"] * 200, "normalize": False})
    refused = http.post("/embed_all", json={"inputs": ["x" * 4_000] * 20})
    assert refused.status_code == 413
    assert refused.json()["error_type"] == "validation"


def test_predict_of_one_and_of_several(browse: Browse) -> None:
    http = browse(model_dir="labels")
    names = HEADS["labels"]

    def expect(text: str | list[str], pooling: PoolingStrategy) -> list[tuple[str, Any]]:
        scores = scores_of(text, pooling, 3)
        return [(names[place], pytest.approx(scores[place], rel=1e-5)) for place in np.argsort(-scores)]

    def found(row: list[dict[str, Any]]) -> list[tuple[str, float]]:
        return [(one["label"], one["score"]) for one in row]

    assert found(post(http, "/predict", {"inputs": "a"})) == expect("a", SHARES)
    assert found(post(http, "/predict", {"inputs": ["a"], "raw_scores": True})) == expect("a", LOGITS)
    assert found(post(http, "/predict", {"inputs": ["a", "b"]})) == expect(["a", "b"], SHARES)
    several = post(http, "/predict", {"inputs": [["a"], ["b"]], "raw_scores": False})
    assert [found(row) for row in several] == [expect("a", SHARES), expect("b", SHARES)]
    pairs = post(http, "/predict", {"inputs": [["a", "b"], ["c", "d"]], "truncate": True})
    assert [found(row) for row in pairs] == [expect(["a", "b"], SHARES), expect(["c", "d"], SHARES)]
    info = http.get("/info").json()
    assert info["model_type"]["classifier"]["id2label"] == {"0": "joy", "1": "fear", "2": "anger"}


def test_predict_of_a_single_label(browse: Browse) -> None:
    http = browse(model_dir="head")
    (one,) = post(http, "/predict", {"inputs": "a"})
    assert one == {"label": "LABEL_0", "score": pytest.approx(scores_of("a", SCORE, 1)[0], rel=1e-5)}
    assert http.get("/info").json()["model_type"] == {
        "reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    }
    # it has no prompts at all, so a role changes nothing; what is no role does not go unheard
    body = {"inputs": "a", "normalize": False, "prompt_name": "query"}
    np.testing.assert_allclose(post(http, "/embed", body), expected(["a"]), rtol=1e-7)
    refused = http.post("/embed", json={**body, "prompt_name": "legal"})
    assert refused.status_code == 400
    assert refused.json()["error"] == "prompt_name: the model has no prompt for 'legal', it has none"


def test_the_root_is_the_route_that_suits_the_model(http: httpx.Client, browse: Browse) -> None:
    texts = {"inputs": ["a", "b"]}
    assert post(http, "/", texts) == post(http, "/embed", texts)
    labels, head = browse(model_dir="labels"), browse(model_dir="head")
    assert post(labels, "/", {"inputs": "a"}) == post(labels, "/predict", {"inputs": "a"})
    order = {"query": "a", "texts": ["b", "c", "d"], "return_text": True}
    assert post(head, "/", order) == post(head, "/rerank", order)
    for client, body, says in (
        (http, order, "inputs: Field required"),
        (labels, order, "inputs: Field required"),
        (head, texts, "query and texts (text-embeddings-inference)"),
    ):
        answer = client.post("/", json=body)
        assert answer.status_code == 422
        assert (set(answer.json()), says in answer.json()["error"]) == ({"error", "error_type"}, True), answer.text
    assert http.get("/").headers["content-type"].startswith("text/html")


def test_info(http: httpx.Client) -> None:
    info = http.get("/info").json()
    status = http.get("/status/server").json()
    assert info["model_id"] == "fake"
    assert info["model_sha"] == status["model"]["fingerprint"]
    assert info["max_input_length"] == status["max_seq_len"]
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert info["max_client_batch_size"] == status["max_batch_size"]


BAD: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("/embed", {}, 422, "validation", "inputs: Field required"),
    ("/embed", {"inputs": None}, 422, "validation", "inputs: Field required"),
    ("/embed", {"inputs": []}, 400, "empty", "inputs is empty"),
    ("/embed", {"inputs": [1, 2]}, 422, "tokenizer", "inputs[0] must be a text, not int"),
    ("/embed", {"inputs": ["a", " "]}, 422, "tokenizer", "texts[1] must not be blank"),
    ("/embed", {"inputs": "a", "truncation_direction": "up"}, 422, "validation", "one of right, left, not 'up'"),
    ("/embed", {"inputs": ["a", LONG], "truncate": False}, 413, "validation", "more than 4 tokens"),
    ("/embed", {"inputs": "a", "dimensions": DIM + 1}, 400, "validation", "dimensions: a vector has only 8"),
    ("/embed", {"inputs": "a", "dimensions": 0}, 422, "validation", "dimensions"),
    ("/embed", {"inputs": "a", "prompt_name": "nothing"}, 400, "validation", "it has 'query', 'passage'"),
    ("/embed_all", {"inputs": LONG, "truncate": False}, 413, "validation", "more than 4 tokens"),
    ("/embed", {"inputs": ["a", "!crash"], "normalize": False}, 422, "tokenizer", "crash"),
    ("/predict", {"inputs": "a"}, 400, "validation", "has no labels"),
    ("/predict", {"inputs": ["a", "b", "c"]}, 422, "tokenizer", "inputs[0] is no text and no pair"),
    ("/predict", {"inputs": [["a"], ["b", "c"]]}, 422, "tokenizer", "send texts and pairs apart"),
    ("/predict", {"inputs": [["a"], "b"]}, 422, "tokenizer", "inputs[1] is no text"),
]


@pytest.mark.parametrize(("path", "body", "status", "kind", "says"), BAD)
def test_errors_are_teis(
    http: httpx.Client, path: str, body: dict[str, Any], status: int, kind: str, says: str
) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "error_type"}
    assert answer.json()["error_type"] == kind
    assert says in answer.json()["error"]


def test_errors_before_and_beside_the_route_have_its_shape(browse: Browse) -> None:
    http = browse(http_api_key="sesame", http_max_body=1)
    assert http.post("/embed", json={"inputs": "a"}).json() == {
        "error": "this server wants a key: send the header Authorization: Bearer KEY", "error_type": "validation"
    }  # fmt: skip
    http.headers["Authorization"] = "Bearer sesame"
    assert http.post("/", content=b"no JSON").json()["error_type"] == "validation"
    assert http.post("/embed/", content=b"no JSON").json()["error_type"] == "validation"
    assert http.get("/embed").json()["error_type"] == "validation"
    assert http.post("/embed", json={"inputs": ["x" * (1 << 20)]}).json()["error_type"] == "validation"
    before = num_sent(http)
    assert http.post("/predict", json={"inputs": "a"}).status_code == 400
    assert num_sent(http) == before


def test_tokens_of_a_server_without_pooling(browse: Browse) -> None:
    http = browse(pooling_strategy="NONE")
    assert "use /embed_all" in http.post("/embed", json={"inputs": "a"}).json()["error"]
    np.testing.assert_allclose(post(http, "/embed_all", {"inputs": "ab"}), [[vector_of("ab")] * 2], rtol=1e-7)


def test_tokenize(browse: Browse) -> None:
    http = browse(show_tokens_to_client=True)
    first = [
        {"id": ord(one), "text": one, "special": False, "start": at, "stop": at + 1} for at, one in enumerate("ab")
    ]
    assert post(http, "/tokenize", {"inputs": "ab", "add_special_tokens": None}) == [first]
    assert post(http, "/tokenize", {"inputs": ["ab", "a"], "add_special_tokens": False}) == [first, first[:1]]
    refused = http.post("/tokenize", json={"inputs": ["ab", LONG]})
    assert (refused.status_code, refused.json()["error_type"]) == (413, "validation")


def test_tokenize_needs_a_server_that_shows_tokens(http: httpx.Client) -> None:
    before = num_sent(http)
    answer = http.post("/tokenize", json={"inputs": "a", "add_special_tokens": True})
    assert answer.status_code == 400
    assert "start it with -show_tokens_to_client" in answer.json()["error"]
    assert num_sent(http) == before
