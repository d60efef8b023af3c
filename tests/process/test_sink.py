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
from bert_serving.server.sink import Sink
from bert_serving.server.transport.child_line import ChildLine
from bert_serving.server.transport.meeting import Contact
from bert_serving.server.transport.messages import (
    Alive,
    Delivered,
    Left,
    Message,
    NewVentilator,
    Rows,
    Stop,
    decode,
    encode,
)
from bert_serving.server.transport.run_keys import RunKeys

TTL_S, MOST_KEPT_BYTES = 60.0, 1000


class Bench:
    """A sink in a thread; `tell` is a worker's message to it, `hear` what it says to the ventilator."""

    def __init__(self, opened: ExitStack) -> None:
        context = opened.enter_context(zmq.Context())

        def make(kind: int) -> Any:
            return opened.enter_context(context.socket(kind))

        results, rows = make(zmq.XPUB), make(zmq.PULL)
        self._rows, self._ventilator, self._supervisor = make(zmq.PUSH), make(zmq.DEALER), make(zmq.ROUTER)
        results.bind("inproc://results")
        rows.bind("inproc://rows")
        self._ventilator.bind("inproc://ventilator")
        self._supervisor.bind("inproc://supervisor")
        self._rows.connect("inproc://rows")
        supervisor = ChildLine(context, Contact("sink.1", "inproc://supervisor", "", RunKeys.make()))
        opened.callback(supervisor.socket.close, 0)
        supervisor.hello()
        self._supervisor.recv_multipart()

        def connect(address: str) -> Any:
            sock = make(zmq.DEALER)
            sock.connect(address)
            return sock

        listeners = Listeners(TTL_S, max_bytes=MOST_KEPT_BYTES)
        sink = Sink(fake_config(), None, listeners, results, rows, supervisor, connect, None)
        self._supervisor.send_multipart([b"sink.1", *encode(NewVentilator("inproc://ventilator"))])
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
