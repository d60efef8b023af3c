"""The API as its own description has it, and a fuzzer that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
from fake_engine import DIM
from gateway_support import Browse
from hypothesis import HealthCheck, given, settings

VECTORS = ("results", "embeddings", "embedding", "vector", "vectors", "data")
"""Fields of answers that have vectors."""


@pytest.fixture(scope="module")
def described(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_each_example_works_and_a_vector_is_whole(browse: Browse) -> None:
    http = browse(model_dir="head", show_tokens_to_client=True)
    paths = http.get("/openapi.json").json()["paths"]
    bodies = {path: about["post"]["requestBody"] for path, about in paths.items() if "post" in about}
    assert len(bodies) > 10
    for path, body in bodies.items():
        examples = body["content"]["application/json"]["examples"]
        assert examples, path
        for name, example in examples.items():
            answer = http.post(path, json=example["value"])
            assert answer.status_code == 200, (path, name, answer.text)
            is_of_vectors = path in ("/encode", "/v1/embeddings", "/embed", "/api/embed", "/api/embeddings", "/vectors")
            if is_of_vectors and "base64" not in name:
                assert widths_in(answer.json()) == {DIM}, (path, name)


def widths_in(content: Any) -> set[int]:
    """Of all vectors in an answer."""
    if isinstance(content, dict):
        return set().union(*(widths_in(value) for name, value in content.items() if name in VECTORS))
    if isinstance(content, list) and content and isinstance(content[0], (list, dict)):
        return set().union(*map(widths_in, content))
    return {len(content)} if isinstance(content, list) and np.isrealobj(content) else set()


def test_each_route_has_a_title_a_group_and_errors(described: dict[str, Any]) -> None:
    known = {tag["name"] for tag in described["tags"]}
    titles = []
    for path, method, operation in operations(described):
        assert len(operation["tags"]) == 1, path
        assert set(operation["tags"]) <= known, path
        titles.append((operation["tags"][0], operation["summary"]))
        assert operation["description"], path
        assert "200" in operation["responses"] or "204" in operation["responses"], path
        if method == "post":
            assert {"400", "401", "422", "429"} <= set(operation["responses"]) or path == "/api/show", path
        for status, answer in operation["responses"].items():
            assert answer["description"], (path, status)
            if status.startswith("4"):
                name = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                assert name in described["components"]["schemas"], path
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/encode", {"texts": [1]}), ("/embed", {"inputs": ""}), ("/api/embed", {"input": ""}), ("/vectors", {})],
)
def test_an_error_is_as_described(http: httpx.Client, described: dict[str, Any], path: str, body: Any) -> None:
    answer = http.post(path, json=body)
    about = described["paths"][path]["post"]["responses"][str(answer.status_code)]
    name = about["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = described["components"]["schemas"][name]
    assert set(schema["required"]) <= set(answer.json())
    assert set(answer.json()) <= set(schema["properties"])


def test_octets_are_described(described: dict[str, Any]) -> None:
    answer = described["paths"]["/encode"]["post"]["responses"]["200"]
    assert set(answer["content"]) == {"application/json", "application/octet-stream"}
    assert {"X-Shape", "X-Dtype"} <= set(answer["headers"])


def test_keys_are_described_where_they_are_wanted(browse: Browse, described: dict[str, Any]) -> None:
    assert "securitySchemes" not in described["components"]
    http = browse(http_api_key="sesame")
    keyed = http.get("/openapi.json", headers={"Authorization": "Bearer sesame"}).json()
    assert set(keyed["components"]["securitySchemes"]) == {"Bearer", "Basic"}
    assert keyed["security"] == [{"Bearer": []}, {"Basic": []}]
    for path, _, operation in operations(keyed):
        is_open = http.get(path).status_code != 401
        assert ("security" in operation) is is_open, path


def test_no_request_makes_the_server_fail(http: httpx.Client) -> None:
    schema = schemathesis.openapi.from_url(f"{http.base_url}/openapi.json")

    for operation in schema.get_all_operations():
        described: Any = operation

        @given(case=described.ok().as_strategy())
        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
        def check(case: Any) -> None:
            answer = case.call(base_url=str(http.base_url))
            assert answer.status_code < 500, answer.text

        check()
