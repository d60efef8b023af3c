"""The sink alone, between sockets that the test holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import zmq
from serving import fake_config

from bert_serving.server.core.listeners import Listeners
from bert_serving.server.publisher import result_bounds
from bert_serving.server.sink import Sink
from bert_serving.server.transport.connections import Connections
from bert_serving.server.transport.messages import Alive, Delivered, Left, Message, Rows, Stop, decode, encode

TTL_S, MOST_KEPT_BYTES = 60.0, 1000


class Bench:
    """A sink in a thread; `tell` is a worker's message to it, `hear` what it says to the ventilator."""

    def __init__(self, opened: ExitStack) -> None:
        context = opened.enter_context(zmq.Context())

        def make(kind: int) -> Any:
            return opened.enter_context(context.socket(kind))

        results, rows, ventilator = make(zmq.XPUB), make(zmq.PULL), make(zmq.DEALER)
        self._rows, self._ventilator = make(zmq.PUSH), make(zmq.DEALER)
        self.results = f"tcp://127.0.0.1:{results.bind_to_random_port('tcp://127.0.0.1')}"
        rows.bind("inproc://rows")
        ventilator.bind("inproc://ventilator")
        self._rows.connect("inproc://rows")
        self._ventilator.connect("inproc://ventilator")
        config = fake_config()
        connections = opened.enter_context(Connections(context, results, result_bounds(config)))
        listeners = Listeners(TTL_S, config.max_clients, MOST_KEPT_BYTES)
        sink = Sink(config, None, listeners, results, connections, rows, ventilator, None)
        thread = threading.Thread(target=sink.loop, daemon=True)
        thread.start()
        opened.callback(thread.join, 10)
        opened.callback(self._ventilator.send_multipart, encode(Stop()))

    def tell(self, message: Rows) -> None:
        self._rows.send_multipart(encode(message))

    def hear(self) -> Message:
        while isinstance(message := decode(self._ventilator.recv_multipart()), Alive):
            pass
        return message


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as opened:
        yield Bench(opened)


def rows_of(job: int, size: int) -> Rows:
    """All rows of a request whose client does not listen."""
    nothing: dict[str, Any] = {"lengths": None, "tokens": None, "truncated": [], "failures": [], "num_tokens": [3]}
    vector = np.ones(size, np.float32)
    return Rows(job, 1, 0, 1, "float32", size, identity=b"late", request_id=b"7", data=vector.tobytes(), **nothing)


def test_an_answer_too_large_to_be_kept_is_not_said_to_be(bench: Bench) -> None:
    bench.tell(rows_of(1, size=10))
    assert bench.hear() == Delivered(1, is_kept=True)
    bench.tell(rows_of(2, size=2000))
    assert [bench.hear(), bench.hear()] == [Left(2), Delivered(2, is_kept=False)]
