"""The API as its own description has it, and a fuzzer that reads it."""

from __future__ import annotations

from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, given, settings


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
