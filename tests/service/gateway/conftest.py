"""A server with the fake engine and HTTP, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from gateway_support import Browse, wait_until_ready
from ports import free_ports
from serving import Serve


@pytest.fixture
def browse(serve: Serve) -> Iterator[Browse]:
    """Starts a server with `-http_port` and opens an HTTP client of it, once it is ready."""
    with ExitStack() as opened:

        def start(**options: Any) -> httpx.Client:
            (port,) = free_ports(1)
            serve(http_port=port, http_host="127.0.0.1", **options)
            http = opened.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60))
            return wait_until_ready(http)

        yield start
