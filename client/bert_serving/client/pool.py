"""ConcurrentBertClient: several connections behind one object, for threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from bert_serving.client.base import made_anew
from bert_serving.client.errors import ClientClosed, RequestTimeout
from bert_serving.client.sync import BertClient

_T = TypeVar("_T")


class ConcurrentBertClient:
    """Up to `max_concurrency` BertClients; each call borrows one and waits while all are lent.

    One BertClient can be shared by threads as it is. This one bounds how many calls are under way at once, and gives
    each a connection of its own. `fetch` and what belongs to it are for BertClient only.
    """

    def __init__(self, max_concurrency: int = 10, **kwargs: Any) -> None:
        """Connect the first client; the others follow when they are needed.

        Args:
            max_concurrency: how many calls may be under way at once.
            **kwargs: arguments of BertClient. Its `timeout` also bounds how long a call waits for its turn, and an
                `identity` is that of the first: those who share one take each other's answers.

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

    def __reduce__(self) -> Any:
        """As `BertClient` does: a copy connects anew, with the same arguments and an identity of its own."""
        return made_anew, (type(self), {**self._kwargs, "max_concurrency": self.max_concurrency, "identity": None})

    def encode(self, texts: Any, blocking: bool = True, is_tokenized: bool = False, show_tokens: bool = False) -> Any:
        """As `BertClient.encode`, but for `blocking=False`, which raises NotImplementedError."""
        if not blocking:
            self._refuse("encode(blocking=False)")
        with self._borrow() as client:
            return client.encode(texts, is_tokenized=is_tokenized, show_tokens=show_tokens)

    @property
    def server_config(self) -> dict[str, Any]:
        """The server's arguments and versions."""
        with self._borrow() as client:
            return client.server_config

    @property
    def server_status(self) -> dict[str, Any]:
        """The server's config, and statistics on what it has done."""
        with self._borrow() as client:
            return client.server_status

    @property
    def status(self) -> dict[str, Any]:
        """`BertClient.status` of the first client, with the requests of all counted, and the size of the pool."""
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
            f"{what} is not for ConcurrentBertClient, whose connections are lent by the call: "
            "use one BertClient, which threads can share"
        )
