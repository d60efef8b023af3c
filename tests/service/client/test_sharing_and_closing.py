"""A client that threads share, one that a fork inherits, and what is left of one that is closed or forgotten."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from peer_server import PeerServer, answer_nothing, vectors
from ports import free_ports

from bert_serving.client import BertClient, ClientClosed, ConcurrentBertClient
from bert_serving.client.endpoints import Endpoint

TEXTS = ["First do it", "then do it right", "then do it better"]


def num_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_threads_share_a_client(peer: PeerServer) -> None:
    with BertClient(**peer.ports) as client:

        def use(thread: int) -> None:
            for turn in range(30):
                texts = [f"thread {thread} turn {turn} row {row}" for row in range(1 + turn % 5)]
                np.testing.assert_array_equal(client.encode(texts), vectors(texts))

        with ThreadPoolExecutor(32) as threads:
            list(threads.map(use, range(32)))
        assert client.status["num_request"] == 1 + 32 * 30


@pytest.mark.parametrize("num_servers", [1, 2])
def test_used_after_a_fork(peer: PeerServer, num_servers: int) -> None:
    nobody = [Endpoint("localhost", *free_ports(2))] * (num_servers - 1)
    servers = [str(one) for one in (Endpoint("localhost", **peer.ports), *nobody)]
    with BertClient(endpoints=servers) as client:
        stream = client.encode_stream(iter(TEXTS * 2), batch_size=len(TEXTS))
        next(stream)
        client.encode(TEXTS, blocking=False)
        calls: list[Callable[[], Any]] = [
            lambda: client.encode(TEXTS),
            lambda: client.encode(TEXTS, blocking=False),
            lambda: client.server_config,
            lambda: client.server_status,
            lambda: client.fetch_all(),
            lambda: next(stream),
        ]
        if num_servers == 1:
            heard = client.listen()
            calls += [lambda: client.listen(), lambda: next(heard)]
        assert _in_a_fork(client, calls) == "ClientClosed " * len(calls)
        np.testing.assert_array_equal(client.encode(TEXTS), vectors(TEXTS))  # unharmed in the parent
        assert len(client.fetch_all()) == 1


def test_a_pool_used_after_a_fork(peer: PeerServer) -> None:
    with ConcurrentBertClient(1, **peer.ports) as client, client._borrow():  # all are lent
        assert _in_a_fork(client, [lambda: client.encode(TEXTS)]) == "ClientClosed "


def _in_a_fork(client: BertClient | ConcurrentBertClient, calls: list[Callable[[], Any]]) -> str:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork, on purpose
        pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, _raised_by_all(client, calls).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as outcome:
        found = outcome.read()
    assert os.waitpid(pid, 0)[1] == 0
    return found


def _raised_by_all(client: BertClient | ConcurrentBertClient, calls: list[Callable[[], Any]]) -> str:
    outcome = ""
    for call in calls:
        try:
            call()
        except Exception as error:
            outcome += type(error).__name__ + " "
    client.close()
    return outcome


def test_closing(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    client = BertClient(**peer.ports)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.encode, TEXTS)
        peer.wait_for(num_encode=1)
        client.close()
        with pytest.raises(ClientClosed):
            waiting.result(timeout=20)
    client.close()
    calls: list[Callable[[], Any]] = [
        lambda: client.encode(TEXTS),
        lambda: client.encode(TEXTS, blocking=False),
        lambda: client.server_config,
        lambda: client.server_status,
        lambda: client.listen(),
    ]
    assert _raised_by_all(client, calls) == "ClientClosed " * len(calls)


def test_nothing_is_left_open(peer: PeerServer) -> None:
    BertClient(**peer.ports).close()
    fds, threads = num_fds(), threading.active_count()
    for _ in range(20):
        with BertClient(**peer.ports) as client:
            client.encode(TEXTS)
    assert threading.active_count() == threads
    assert num_fds() <= fds + 2  # the peer may not have noticed the last one yet


def test_a_client_that_nobody_closes(peer: PeerServer) -> None:
    threads = set(threading.enumerate())
    client: Any = BertClient(**peer.ports)
    client.encode(TEXTS)
    (thread,) = set(threading.enumerate()) - threads
    assert thread.daemon
    del client
    thread.join(timeout=20)
    assert not thread.is_alive()
