"""The sink alone, between sockets that the test holds."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import pytest
import zmq
from serving import fake_config
from zmtp import MORE, cancellation, frame, subscription, wire

from bert_serving.client.errors import ServerError
from bert_serving.client.wire import ErrorReply, decode_reply, encode_error_reply, encode_json_reply, topic
from bert_serving.server.message.assembly import Assembly
from bert_serving.server.message.codec import decode_all, encode
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import (
    Alive,
    Answer,
    Delivered,
    Hello,
    Left,
    Message,
    NewVentilator,
    Received,
    Rows,
    Stop,
)
from bert_serving.server.sink.listeners import MOST_NAMES, Listeners
from bert_serving.server.sink.loop import Sink
from bert_serving.server.sink.publisher import Publisher
from bert_serving.server.transport.child_line import ChildLine, VentilatorLine
from bert_serving.server.transport.connections import Connections, result_bounds
from bert_serving.server.transport.meeting import Contact
from bert_serving.server.transport.run_keys import RunKeys
from bert_serving.server.transport.sockets import LONGEST_SUBSCRIPTION

TTL_S, MOST_KEPT_BYTES, PATIENCE_S = 60.0, 1000, 30.0


class Bench:
    """A sink in a thread; `tell` is a worker's message to it, `hear` what it says to the ventilator."""

    def __init__(self, opened: ExitStack) -> None:
        context = opened.enter_context(zmq.Context())

        def make(kind: int) -> Any:
            sock = opened.enter_context(context.socket(kind))
            sock.set_hwm(0)
            return sock

        results, rows = make(zmq.XPUB), make(zmq.PULL)
        self._rows, self._ventilator, self._supervisor = make(zmq.PUSH), make(zmq.DEALER), make(zmq.ROUTER)
        results.linger = 0
        results.sndhwm = 1_000
        results.setsockopt(zmq.XPUB_MANUAL, 1)
        results.setsockopt(zmq.XPUB_NODROP, 1)
        results.setsockopt(zmq.MAXMSGSIZE, LONGEST_SUBSCRIPTION)
        results.zap_domain = b"any"
        self.port = results.bind_to_random_port("tcp://127.0.0.1")
        self._context = context
        rows.bind("inproc://rows")
        self._ventilator.bind("inproc://ventilator")
        self._supervisor.bind("inproc://supervisor")
        self._rows.connect("inproc://rows")
        contact = Contact("sink.1", "inproc://supervisor", "", RunKeys.make())
        supervisor = ChildLine(context, contact)
        opened.callback(supervisor.socket.close, 0)
        supervisor.hello()
        self._supervisor.recv_multipart()

        config = fake_config()
        connections = Connections(context, results, result_bounds(config.max_clients), None)
        self.connections = opened.enter_context(connections)
        self.listeners = Listeners(TTL_S, config.max_clients, MOST_KEPT_BYTES)
        poller = zmq.Poller()
        ventilator = VentilatorLine(context, contact, poller)
        publisher = Publisher(config, self.listeners, results, connections, ventilator.say_soon)
        sink = Sink(publisher, results, connections, rows, supervisor, ventilator, poller)

        def run() -> None:
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
            has_begun.set()
            sink.loop()
            if ventilator.socket is not None:
                ventilator.socket.close(0)

        self._heard: deque[Message] = deque()
        has_begun = threading.Event()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        has_begun.wait(10)
        self._supervisor.send_multipart([b"sink.1", *encode(NewVentilator("inproc://ventilator"))])
        assert isinstance(self.hear(), Hello)
        opened.callback(thread.join, 10)
        opened.callback(self._ventilator.send_multipart, encode(Stop()))

    def tell(self, message: Rows) -> None:
        self._rows.send_multipart(encode(message))

    def say(self, message: Message) -> None:
        """As the ventilator."""
        self._ventilator.send_multipart(encode(message))

    @contextmanager
    def listen(self, identity: bytes) -> Iterator[zmq.Socket[bytes]]:
        """A client's socket, once it counts."""
        before = len(self.listeners)
        with self._context.socket(zmq.SUB) as sub:
            sub.linger = 0
            sub.subscribe(identity)
            sub.connect(f"tcp://127.0.0.1:{self.port}")
            self.until(lambda: len(self.listeners) > before)
            yield sub

    def until(self, is_done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not is_done():
            assert time.monotonic() < end_s, "it never came"
            time.sleep(0.001)

    def busy_share(self, during_s: float) -> float:
        """How much of that time the sink computes."""
        before_s = time.clock_gettime(self._clock)
        time.sleep(during_s)
        return (time.clock_gettime(self._clock) - before_s) / during_s

    def hear(self) -> Message:
        while not self._heard:
            said = decode_all(self._ventilator.recv_multipart())
            self._heard += [message for message in said if not isinstance(message, Alive)]
        return self._heard.popleft()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as opened:
        yield Bench(opened)


def rows_of(job: int, size: int) -> Rows:
    """All rows of a request whose client does not listen."""
    vector = np.ones(size, np.float32)
    return Rows(Envelope(job, 1, b"late", b"7"), 0, 1, bytes(4), dim=size, data=vector.tobytes())


def with_envelope(rows: Rows, **change: Any) -> Rows:
    """The same of another request."""
    return replace(rows, envelope=replace(rows.envelope, **change))


def error_reply(text: str) -> list[bytes]:
    """To a client that does not listen."""
    return encode_error_reply(b"late", b"7", ServerError(text))


def error_in(sub: zmq.Socket[bytes]) -> str:
    """The next reply, which is one."""
    assert sub.poll(10_000), "no answer"
    reply = decode_reply(sub.recv_multipart())
    assert isinstance(reply, ErrorReply)
    return reply.error.message


def out_of_memory(*args: Any) -> NoReturn:
    raise MemoryError


def test_an_answer_too_large_to_be_kept_is_not_said_to_be(bench: Bench) -> None:
    bench.tell(rows_of(1, size=10))
    assert bench.hear() == Delivered(1, is_kept=True)
    bench.tell(rows_of(2, size=2000))
    assert [bench.hear(), bench.hear()] == [Left(2), Delivered(2, is_kept=False)]


def keep_fails_thrice(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is no memory for a while."""
    real, calls = Listeners.keep, iter(range(3))

    def keep(*args: Any) -> list[int]:
        return real(*args) if next(calls, None) is None else out_of_memory()

    monkeypatch.setattr(Listeners, "keep", keep)


# -- what cannot be put together ends with an error -------------------------------------------------------------------


def test_an_answer_that_no_memory_can_hold_ends_with_an_error(bench: Bench) -> None:
    with bench.listen(b"late") as sub:
        bench.tell(with_envelope(rows_of(1, size=8), total=10**14))
        assert bench.hear() == Delivered(1, is_kept=False)
        error = error_in(sub)
        assert "answer of 100000000000000 rows, each of width 8, needs more memory than the server has" in error
        assert "send fewer texts" in error
        bench.tell(rows_of(2, size=8))
        assert bench.hear() == Delivered(2, is_kept=False)


def test_an_answer_that_cannot_be_padded_ends_with_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Assembly, "result", out_of_memory)
    bench.tell(replace(rows_of(1, size=8), truncated=[0]))
    assert bench.hear() == Delivered(1, is_kept=True)
    with bench.listen(b"late") as sub:
        assert "needs more memory" in error_in(sub)


def test_an_error_for_which_there_is_no_memory_goes_out_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Assembly, "result", out_of_memory)
    keep_fails_thrice(monkeypatch)
    bench.tell(replace(rows_of(1, size=8), truncated=[0]))
    assert bench.hear() == Delivered(1, is_kept=True)
    with bench.listen(b"late") as sub:
        assert "needs more memory" in error_in(sub)


@pytest.mark.parametrize("is_error", [True, False])
def test_an_answer_of_the_ventilator_for_which_there_is_no_memory_goes_out_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, is_error: bool
) -> None:
    keep_fails_thrice(monkeypatch)
    told = error_reply("told") if is_error else encode_json_reply(b"late", b"7", {"told": 1})
    for _ in range(2):  # the second time as a later ventilator says it
        bench.say(Answer(1, told))
    bench.say(Answer(2, encode_json_reply(b"other", b"8", {})))
    assert {bench.hear(), bench.hear()} == {Delivered(job, is_kept=False) for job in (1, 2)}
    with bench.listen(b"late") as sub:
        assert sub.poll(10_000)
        sub.recv_multipart()
        assert not sub.poll(50)


BROKEN = {
    "beyond the end": {"offset": 2},
    "before the beginning": {"offset": -1},
    "of a width below zero": {"dim": -8},
    "of another width": {"dim": 4, "data": bytes(16)},
    "of another number type": {"dtype": "float16", "data": bytes(16)},
    "of no number type": {"dtype": "hello"},
    "too few bytes": {"data": bytes(12)},
    "of another total": {"envelope": Envelope(1, 3, b"late", b"7")},
    "lengths that do not add up": {"lengths": [5]},
    "lengths below zero": {"lengths": [-1]},
    "a failure elsewhere": {"failures": [[1, "no"]]},
    "a text cut elsewhere": {"truncated": [-1]},
    "tokens of other rows": {"tokens": [["a"], ["b"]]},
    "of the wrong sort": {"lengths": [1]},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_rows_that_do_not_fit_end_with_an_error(bench: Bench, change: dict[str, Any]) -> None:
    first = with_envelope(rows_of(1, size=8), total=2)
    with bench.listen(b"late") as sub:
        bench.tell(first)
        assert isinstance(bench.hear(), Received)
        bench.tell(replace(first, offset=1, **change) if "offset" not in change else replace(first, **change))
        assert bench.hear() == Delivered(1, is_kept=False)
        assert "could not be assembled" in error_in(sub)
        bench.tell(replace(first, offset=1))  # the job is closed
        bench.tell(rows_of(2, size=8))
        assert bench.hear() == Delivered(2, is_kept=False)


def test_a_job_is_answered_once_however_many_follow(bench: Bench) -> None:
    with bench.listen(b"late") as sub:
        for job in range(1, 6_002):
            bench.tell(rows_of(job, size=1))
            if job % 100 == 0:
                for _ in range(100):
                    bench.hear()
                    assert sub.poll(10_000)
                    sub.recv_multipart()
        bench.hear()
        sub.recv_multipart()
        bench.say(Answer(1, error_reply("again")))
        assert bench.hear() == Delivered(1, is_kept=False)
        bench.tell(rows_of(2, size=1))
        bench.tell(with_envelope(rows_of(3, size=1), total=2))  # late: it opens nothing
        bench.say(Answer(7_000, error_reply("open")))
        assert bench.hear() == Delivered(7_000, is_kept=False)
        assert error_in(sub) == "open"
        bench.tell(with_envelope(rows_of(7_000, size=1), total=2))
        bench.tell(rows_of(7_001, size=1))
        assert bench.hear() == Delivered(7_001, is_kept=False)


# -- strangers --------------------------------------------------------------------------------------------------------


def test_a_name_lives_as_long_as_the_connections_that_have_it(bench: Bench) -> None:
    with bench.listen(b"late") as sub, wire(bench.port, b"SUB") as stranger:
        stranger.send(cancellation(b"late") * 2 + subscription(b"stranger") * 2)
        stranger.send(b"".join(subscription(b"%d" % number) for number in range(MOST_NAMES - 1)))
        bench.until(lambda: len(bench.listeners) == 1 + MOST_NAMES)
        bench.tell(rows_of(1, size=8))
        assert bench.hear() == Delivered(1, is_kept=False)
        assert sub.poll(10_000)
        stranger.close()
        bench.until(lambda: len(bench.listeners) == 1)
    bench.until(lambda: len(bench.listeners) == 0)


def test_who_subscribes_to_too_much_is_hung_up_on(bench: Bench) -> None:
    with bench.listen(b"late") as sub, wire(bench.port, b"SUB") as stranger:
        stranger.send(b"".join(subscription(b"%d" % number) for number in range(9_000)))
        assert stranger.is_hung_up_on()
        bench.until(lambda: len(bench.listeners) == 1)
        bench.tell(rows_of(1, size=8))
        assert sub.poll(10_000)


def test_who_subscribes_without_end_is_hung_up_on(bench: Bench) -> None:
    with wire(bench.port, b"SUB") as stranger:
        stranger.send((subscription(b"a") + cancellation(b"a")) * 200)
        assert stranger.is_hung_up_on()
    bench.until(lambda: len(bench.listeners) == 0)


def test_a_subscription_of_endless_frames_is_hung_up_on(bench: Bench) -> None:
    with wire(bench.port, b"SUB") as stranger:
        bench.until(lambda: len(bench.connections) == 1)
        stranger.socket.settimeout(1)  # once the sink has closed, it may take no byte and say nothing either
        with suppress(OSError):
            for _ in range(2_000):
                stranger.send(frame(bytes(1_000), MORE) * 10)
        bench.until(lambda: len(bench.connections) == 0)


def test_the_longest_identity_is_heard(bench: Bench) -> None:
    identity = b"x" * 4_096
    with bench.listen(identity) as sub:
        bench.tell(with_envelope(rows_of(1, size=8), identity=identity))
        assert bench.hear() == Delivered(1, is_kept=False)
        assert sub.poll(10_000)


def test_one_that_reads_nothing_holds_up_nobody(bench: Bench) -> None:
    """More answers than its connection takes wait for it; those of others go out at once."""
    with wire(bench.port, b"SUB") as stranger, bench.listen(b"late") as sub:
        names = [b"%d" % number for number in range(MOST_NAMES)]
        stranger.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stranger.send(b"".join(map(subscription, names)))
        bench.until(lambda: len(bench.listeners) == 1 + MOST_NAMES)
        for number in range(3_000):
            bench.say(Answer(2 * number, [topic(names[number % MOST_NAMES]), bytes(4_000), b"", b"1"]))
            if number % 50 == 0:
                bench.say(Answer(2 * number + 1, encode_json_reply(b"late", b"5", {})))
                assert sub.poll(2_000)
                sub.recv_multipart()
        assert bench.busy_share(0.5) < 0.5
