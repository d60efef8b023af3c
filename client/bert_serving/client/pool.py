"""ConcurrentBertClient: several connections behind one object, for threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from bert_serving.client.base import made_anew
from bert_serving.client.encoding import Encodable, Encodes
from bert_serving.client.errors import ClientClosed, RequestTimeout
from bert_serving.client.options import Options
from bert_serving.client.scores import Hit, Label
from bert_serving.client.sync import BertClient

_T = TypeVar("_T")


class ConcurrentBertClient(Encodes):
    """A pool of up to `max_concurrency` BertClients; each call borrows one, and waits if none is free.

    One BertClient can be shared by threads as it is. This one limits how many calls run at once, and gives each a
    connection of its own. `encode(blocking=False)` and `fetch` are for BertClient only.
    """

    def __init__(self, max_concurrency: int = 10, **kwargs: Any) -> None:
        """Connect the first client; the others connect when they are needed.

        Args:
            max_concurrency: how many calls may run at once.
            **kwargs: arguments of BertClient. Its `timeout` also limits how long a call waits for a free connection. An
                `identity` is used only by the first client: clients that share one receive each other's answers.

        Raises:
            ValueError: `max_concurrency` is below 1.
            What BertClient raises.
        """
        if max_concurrency < 1:
            raise ValueError(f"max_concurrency must be at least 1, not {max_concurrency}")
        self.max_concurrency = max_concurrency
        self._kwargs = kwargs
        self._turns = threading.Semaphore(max_concurrency)
        self._lock = threading.Lock()
        self._is_closed = False
        first = BertClient(**kwargs)
        self._clients = [first]
        self._idle = deque([first])

    def __repr__(self) -> str:
        connections = f"{len(self._clients)} of {self.max_concurrency} connections"
        return f"<ConcurrentBertClient of {self._clients[0].where}, {connections}>"

    def __reduce__(self) -> Any:
        """As for `BertClient`: a copy makes new connections, with the same arguments and a new identity."""
        return made_anew, (type(self), {**self._kwargs, "max_concurrency": self.max_concurrency, "identity": None})

    def _encode(
        self, texts: Any, blocking: bool, is_tokenized: bool, show_tokens: bool, show_progress: bool, options: Options
    ) -> Any:
        if not blocking:
            self._refuse("encode(blocking=False)")
        with self._borrow() as client:
            return client._encode(texts, blocking, is_tokenized, show_tokens, show_progress, options)

    def rank(self, query: str, documents: Sequence[str], top_k: int | None = None) -> list[Hit]:
        """As `BertClient.rank`."""
        with self._borrow() as client:
            return client.rank(query, documents, top_k)

    def classify(self, texts: Encodable) -> list[list[Label]]:
        """As `BertClient.classify`."""
        with self._borrow() as client:
            return client.classify(texts)

    @property
    def server_config(self) -> dict[str, Any]:
        """The server's arguments and versions."""
        with self._borrow() as client:
            return client.server_config

    @property
    def server_status(self) -> dict[str, Any]:
        """The server's config, and statistics about its work."""
        with self._borrow() as client:
            return client.server_status

    @property
    def status(self) -> dict[str, Any]:
        """`BertClient.status` of the first client, with the requests of all clients, and the size of the pool."""
        statuses = [client.status for client in list(self._clients)]
        counted = {key: sum(status[key] for status in statuses) for key in ("num_request", "num_pending_request")}
        sizes = {"num_connection": len(statuses), "max_concurrency": self.max_concurrency}
        return {**statuses[0], **counted, **sizes}

    def fetch(self, *args: Any, **kwargs: Any) -> NoReturn:
        """For BertClient only."""
        self._refuse("fetch()")

    def fetch_all(self, *args: Any, **kwargs: Any) -> NoReturn:
        """For BertClient only."""
        self._refuse("fetch_all()")

    def encode_async(self, *args: Any, **kwargs: Any) -> NoReturn:
        """For BertClient only."""
        self._refuse("encode_async()")

    def listen(self, *args: Any, **kwargs: Any) -> NoReturn:
        """For BertClient only."""
        self._refuse("listen()")

    def close(self) -> None:
        """Close every connection; calls under way raise ClientClosed. A second time does nothing."""
        with self._lock:
            self._is_closed = True
            clients = list(self._clients)
        for client in clients:
            client.close()

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @contextmanager
    def _borrow(self) -> Iterator[BertClient]:
        self._clients[0]._connected().check_usable()
        timeout_ms = self._clients[0].timeout
        if not self._turns.acquire(timeout=timeout_ms / 1000 if timeout_ms >= 0 else None):
            raise RequestTimeout(
                f"all {self.max_concurrency} connections were busy for timeout={timeout_ms} ms: "
                "try a larger max_concurrency or a longer timeout"
            )
        try:
            client = self._take()
            try:
                yield client
            finally:
                self._idle.append(client)
        finally:
            self._turns.release()

    def _take(self) -> BertClient:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        client = BertClient(**{**self._kwargs, "identity": None})
        with self._lock:
            if not self._is_closed:
                self._clients.append(client)
                return client
        client.close()
        raise ClientClosed("the client is closed")

    def _refuse(self, what: str) -> NoReturn:
        raise NotImplementedError(
            f"{what} is not available in ConcurrentBertClient, which picks a connection for each call: use one "
            "BertClient, which threads can share"
        )
