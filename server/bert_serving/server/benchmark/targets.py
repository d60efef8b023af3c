"""Servers to measure: over ZeroMQ (this one or 1.10), or over HTTP with OpenAI's `/v1/embeddings`.

The load uses a `Session`; the runner asks a `Target` for facts about itself.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

from bert_serving.client import BertClient
from bert_serving.server.benchmark.tokens import Count
from bert_serving.server.errors import BertServerError

COUNTED_BY_ASKING = 512
"""Texts in a pool whose tokens the server itself has to count: each of them has to be encoded for that."""

_CHUNK = 64


class TargetError(BertServerError, RuntimeError):
    """The server to be measured cannot be asked, or answers with something else than vectors."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a server has counted so far. `padded_tokens` is all that was computed, padding included.

    Both counts are None if the server does not tell them.
    """

    open_requests: int = 0
    tokens: int | None = None
    padded_tokens: int | None = None


class Session(Protocol):
    """A connection that several threads may use at once."""

    def encode(self, texts: Sequence[str]) -> int | None:
        """Have these encoded and wait for the vectors. Returns the number of tokens if the server told it."""

    def close(self) -> None:
        """End it; calls in progress raise, at the latest after their timeout."""


class Target(Protocol):
    """A running server."""

    def session(self, timeout_s: float) -> Session:
        """A new connection, whose calls raise after `timeout_s`."""

    def snapshot(self) -> Snapshot:
        """What it has counted so far."""

    def about(self) -> dict[str, Any]:
        """Its options and versions, as far as it tells them."""

    def counter(self) -> Count | None:
        """Counts tokens by having texts encoded, if the server sends them."""


def find_target(address: str, model: str, connect_timeout_s: float) -> Target:
    """The target of `-target`: HOST:PORT:PORT_OUT or a URL. TargetError if it is neither."""
    if "://" in address:
        return HttpTarget(address, model)
    try:
        host, text, text_out = address.rsplit(":", 2)
        port, port_out = int(text), int(text_out)
    except ValueError:
        raise TargetError(
            f"-target {address} is neither HOST:PORT:PORT_OUT, such as localhost:5555:5556, nor a URL, such as "
            "http://localhost:8000/v1/embeddings"
        ) from None
    return ZmqTarget(host or "localhost", port, port_out, connect_timeout_s)


# -- ZeroMQ -----------------------------------------------------------------------------------------------------------


class ZmqSession:
    """A BertClient, which threads may share."""

    def __init__(self, client: BertClient) -> None:
        self._client = client

    def encode(self, texts: Sequence[str]) -> int | None:
        self._client.encode(list(texts))
        return None

    def close(self) -> None:
        self._client.close()


class ZmqTarget:
    """A server of this package or of 1.10. Connecting raises ConnectFailed."""

    def __init__(self, host: str, port: int, port_out: int, connect_timeout_s: float) -> None:
        self._address: dict[str, Any] = {"ip": host, "port": port, "port_out": port_out}
        self._connect_timeout = int(connect_timeout_s * 1000)

    def session(self, timeout_s: float) -> ZmqSession:
        return ZmqSession(self._client(timeout_s))

    def _client(self, timeout_s: float) -> BertClient:
        # texts of `words` are cut on purpose, so nobody wants to be warned
        timeouts: dict[str, Any] = {"timeout": int(timeout_s * 1000), "connect_timeout": self._connect_timeout}
        return BertClient(**self._address, **timeouts, check_length=False)

    def about(self) -> dict[str, Any]:
        with self._client(10) as client:
            config = client.server_config
        config.pop("client", None)
        return config

    def snapshot(self) -> Snapshot:
        with self._client(10) as client:
            return read_snapshot(client.server_status)

    def counter(self) -> Count | None:
        if not self.about().get("show_tokens_to_client"):
            return None

        def count(texts: Sequence[str]) -> list[int]:
            with self._client(60) as client:
                chunks = [list(texts[first : first + _CHUNK]) for first in range(0, len(texts), _CHUNK)]
                return [len(tokens) for chunk in chunks for tokens in client.encode(chunk, show_tokens=True)[1]]

        return count


def read_snapshot(status: dict[str, Any]) -> Snapshot:
    """The counters in a server's status; 1.10 has none of them."""
    queue = status.get("queue") or {}
    workers = status.get("workers")
    return Snapshot(queue.get("open_requests", 0), _total(workers, "tokens"), _total(workers, "padded_tokens"))


def _total(counters: Any, name: str) -> int | None:
    """The counter of that name, added up if there is one for each worker."""
    if isinstance(counters, dict):
        if isinstance(counters.get(name), int):
            return int(counters[name])
        counters = list(counters.values())
    if not isinstance(counters, list):
        return None
    found = [total for part in counters if (total := _total(part, name)) is not None]
    return sum(found) if found else None


# -- HTTP -------------------------------------------------------------------------------------------------------------


class HttpSession:
    """One kept-alive connection for each thread, as HTTP/1.1 answers in turn."""

    def __init__(self, url: SplitResult, model: str, timeout_s: float) -> None:
        self._url = url
        self._model = model
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._opened: list[http.client.HTTPConnection] = []

    def encode(self, texts: Sequence[str]) -> int | None:
        body = json.dumps({"model": self._model, "input": list(texts)}).encode()
        try:
            status, answer = self._post_again(body)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise TargetError(f"{self._url.geturl()} does not answer: {error or type(error).__name__}") from error
        return read_embeddings(status, answer, len(texts))

    def _post_again(self, body: bytes) -> tuple[int, bytes]:
        """Servers close a connection that was idle for a while; that is no failure of theirs."""
        reused = getattr(self._local, "connection", None) is not None
        try:
            return self._post(body)
        except (ConnectionError, http.client.RemoteDisconnected):
            self._drop()
            if not reused:
                raise
            return self._post(body)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        connection = getattr(self._local, "connection", None) or self._connect()
        path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.hostname or "localhost", self._url.port, timeout=self._timeout_s)
        self._local.connection = connection
        self._opened.append(connection)
        return connection

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        for connection in self._opened:
            connection.close()


class HttpTarget:
    """A server with an endpoint like OpenAI's, which tells nothing of itself but the tokens it took."""

    def __init__(self, url: str, model: str) -> None:
        self._url = urlsplit(url)
        self._model = model
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise TargetError(f"-target {url} is not a URL such as http://localhost:8000/v1/embeddings")

    def session(self, timeout_s: float) -> HttpSession:
        return HttpSession(self._url, self._model, timeout_s)

    def snapshot(self) -> Snapshot:
        return Snapshot()

    def about(self) -> dict[str, Any]:
        return {"url": self._url.geturl(), "model": self._model}

    def counter(self) -> Count | None:
        return None


def read_embeddings(status: int, answer: bytes, num_texts: int) -> int | None:
    """The number of tokens that an answer tells, None without; TargetError if it does not hold `num_texts` vectors."""
    if status != 200:
        raise TargetError(f"the server answers with HTTP status {status}: {answer[:200].decode(errors='replace')}")
    try:
        content = json.loads(answer)
        vectors = len(content["data"])
        tokens = (content.get("usage") or {}).get("prompt_tokens")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TargetError("the server's answer is not like that of OpenAI's /v1/embeddings") from None
    if vectors != num_texts:
        raise TargetError(f"the server answers {num_texts} texts with {vectors} vectors")
    return tokens if isinstance(tokens, int) and tokens > 0 else None
