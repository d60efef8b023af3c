"""What tests of the HTTP gateway share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

Browse = Callable[..., httpx.Client]

PATIENCE_S = 30.0
POLL_S = 0.05


def wait_until_ready(http: httpx.Client, status: int = 200) -> httpx.Client:
    """Until `/health/ready` has this status."""
    end_s = time.monotonic() + PATIENCE_S
    while (answer := http.get("/health/ready")).status_code != status:
        assert time.monotonic() < end_s, answer.text
        time.sleep(POLL_S)
    return http


def post(http: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    """The answer, which must be one."""
    answer = http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def num_sent(http: httpx.Client) -> int:
    """How many requests for vectors have reached the server."""
    return int(http.get("/status/server").json()["statistic"]["num_data_request"])
