"""The door, with real sockets: what is noted is yielded or refused once, and nobody holds up others."""

from __future__ import annotations

import gc
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import hostile
import pytest
import zmq

from bert_serving.client.errors import BadRequest, ServerBusy, ServerError, ServerStopping
from bert_serving.client.options import Options
from bert_serving.client.wire import Command, CommandRequest, encode_command, encode_options, encode_request
from bert_serving.server.transport.connection_table import Bounds, Connection
from bert_serving.server.transport.connections import Connections
from bert_serving.server.ventilator.intake import Intake, Limits, Request
from bert_serving.server.ventilator.reading import AT_ONCE_BYTES, ReadRequest
from bert_serving.server.ventilator.text_list import TextList

PART_ROWS = 256
TURNS = 200_000
BIG = [f"text {number}" for number in range(300_000)]
"""Some 4 MB, which take many turns."""


class Watched(Connections):
    """Connections that remember what they were told, and end none: these tests have but one."""

    def __init__(self, context: zmq.Context[Any], sock: zmq.Socket[bytes], bounds: Bounds) -> None:
        super().__init__(context, sock, bounds, None)
        self.bytes_read = 0
        self.hung_up: list[Connection] = []

    def read(self, one: Connection, size: int, frames: int) -> None:
        self.bytes_read += size
        super().read(one, size, frames)

    def in_vain(self, one: Connection) -> None:
        pass

    def hang_up(self, one: Connection) -> None:
        self.hung_up.append(one)


class Street:
    """A door, who knocks, and what came of it."""

    def __init__(self, push: zmq.Socket[bytes], pull: zmq.Socket[bytes], connections: Watched, limits: Limits) -> None:
        self._push = push
        self._pull = pull
        self.noted: list[tuple[bytes, bytes]] = []
        self.refused: list[tuple[int, ServerError]] = []
        self.let_in: list[tuple[int, Request]] = []
        self.connections = connections
        self.intake = Intake(
            pull, None, "local", self._note, self._refuse, limits, lambda total: PART_ROWS, connections
        )

    def _note(self, identity: bytes, request_id: bytes) -> int:
        self.noted.append((identity, request_id))
        return len(self.noted)

    def _refuse(self, job: int, identity: bytes, request_id: bytes, error: ServerError) -> None:
        assert self.noted[job - 1] == (identity, request_id)
        self.refused.append((job, error))

    def send(self, *messages: list[bytes]) -> None:
        for frames in messages:
            self._push.send_multipart(frames)

    def poll(self, timeout_ms: int) -> int:
        """Whether a message waits."""
        return self._pull.poll(timeout_ms)

    def leave(self) -> None:
        """End the connection, and wait until that is known."""
        self._push.close()
        while len(self.connections):
            self.connections.turn(time.monotonic())

    def turn(self) -> None:
        self._pull.poll(0 if self.intake.is_reading else 1000)
        for job, request in self.intake:
            assert job == 0 or self.noted[job - 1] == (request.identity, request.request_id)
            self.let_in.append((job, request))

    def until_done(self, number: int) -> None:
        """Go on until so many were let in or refused."""
        for _ in range(TURNS):
            if len(self.let_in) + len(self.refused) >= number:
                return
            self.turn()
        raise AssertionError(f"{len(self.let_in)} let in, {len(self.refused)} refused")

    def reason(self) -> str:
        (error,) = (error for _, error in self.refused)
        return str(error)


@contextmanager
def street(
    message_bytes: int = 64 << 20, reading_bytes: int = 64 << 20, answer_bytes: int = 1 << 40, row_bytes: int = 32
) -> Iterator[Street]:
    limits = Limits(message_bytes, reading_bytes, answer_bytes, lambda options, characters: row_bytes)
    with ExitStack() as opened:
        context = opened.enter_context(zmq.Context())
        pull, push = (opened.enter_context(context.socket(kind)) for kind in (zmq.PULL, zmq.PUSH))
        push.linger = 0
        connections = Watched(context, pull, Bounds(10, 1 << 40, 1 << 40))
        opened.enter_context(connections)
        pull.set_hwm(0)
        push.set_hwm(0)
        pull.zap_domain = b"any"
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        push.connect(f"tcp://127.0.0.1:{port}")
        assert connections.sockets[-1].poll(10_000), "nobody asked to come in"
        connections.turn(time.monotonic())
        yield Street(push, pull, connections, limits)


def texts_of(request: Request) -> list[str]:
    assert isinstance(request, ReadRequest)
    return [text for _, content in request.parts.values() for text in json.loads(content)]


def test_a_small_request_is_passed_on_as_it_was_written() -> None:
    with street() as there:
        frames = [b"id", '["\\u00e9", "é" ]'.encode(), b"7", b"2", encode_options(Options(timeout_ms=500))]
        there.send(frames)
        there.until_done(1)
        ((job, request),) = there.let_in
        assert isinstance(request, ReadRequest)
        assert request.parts == {0: (2, frames[1])}
        assert (job, request.options, request.total, request.answer_bytes) == (1, Options(timeout_ms=500), 2, 64)
        assert there.connections.bytes_read == sum(map(len, frames))


def test_turns_go_by_connections_and_those_that_have_gone_share_one() -> None:
    with street() as there:
        there.send(encode_request(b"a", 1, ["x"]), encode_request(b"b", 2, ["x"]))
        there.until_done(2)
        by_here = {request.client for _, request in there.let_in if isinstance(request, ReadRequest)}
        assert len(by_here) == 1
        there.send(encode_request(b"c", 3, ["x"]), encode_request(b"d", 4, ["x"]))
        while not there.poll(1000):
            pass
        there.leave()
        there.until_done(4)
        gone = {request.client for _, request in there.let_in[2:] if isinstance(request, ReadRequest)}
        assert len(gone) == 1
        assert gone != by_here


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES])
def test_a_request_of_one_part_is_never_written_again(size: int) -> None:
    with street() as there:
        content = '  ["\\u00e9" ,\n"é'.encode() + b"x" * size + b'" ]  '
        there.send([b"id", content, b"7", b"2"])
        there.until_done(1)
        ((_, request),) = there.let_in
        assert isinstance(request, ReadRequest)
        assert request.parts == {0: (2, content)}


def test_small_requests_pass_large_ones_which_take_turns() -> None:
    with street() as there:
        there.send(encode_request(b"a", 1, BIG), encode_request(b"b", 2, BIG))
        while len(there.noted) < 2:
            there.turn()
        there.send(encode_request(b"c", 3, ["small"]))
        while not there.poll(1000):
            pass
        there.until_done(3)
        assert there.let_in[0][1].identity == b"c"
        for _, request in there.let_in[1:]:
            assert texts_of(request) == BIG
            assert isinstance(request, ReadRequest)
            assert {count for count, _ in list(request.parts.values())[:-1]} == {PART_ROWS}


def test_more_than_may_be_read_at_once_is_told_to_come_again() -> None:
    with street(reading_bytes=5 << 20) as there:
        there.send(encode_request(b"a", 1, BIG), encode_request(b"b", 2, BIG))
        there.until_done(2)
        ((_, error),) = there.refused
        assert isinstance(error, ServerBusy)
        assert len(there.let_in) == 1


def test_what_is_being_read_is_refused_when_it_is_abandoned() -> None:
    with street() as there:
        there.send(encode_request(b"a", 1, BIG))
        while not there.intake.is_reading:
            there.turn()
        there.intake.abandon(ServerStopping("it stops"))
        assert there.reason() == "it stops"
        there.send(encode_request(b"a", 2, ["a"]))
        there.until_done(2)
        assert [request.request_id for _, request in there.let_in] == [b"2"]


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (
            [b"id", b'["a"]', b"1", b"1", rb'{"\ud800":1}'],
            r"unknown option '\ud800' (1): the known ones are timeout_ms",
        ),
        ([b"id", b'["a"]', b"1", b"1", b"x" * 70_000], "is longer than 65536 bytes"),
        ([b"id", b'["a"]', b"1", b"1_0"], "their number in decimal digits"),
        ([b"id", b'["a"]', b"1", b"01"], "their number in decimal digits"),
        ([b"id", b'["a"]', b"1", b"2"], "frame 3 says 2 texts, but frame 1 holds 1"),
        ([b"id", b'["a"]', b"1", b"99999999999999999999"], "may take"),
        ([b"id", b"[" + b"[]," * 400_000 + b"[]]", b"1", b"400001"], "text 0"),
        ([b"id", b'["' + b"x" * AT_ONCE_BYTES, b"1", b"1"], "ends within a string"),
        ([b"id", b'["a"]', b"1" * 21, b"1"], "at most 20 decimal digits"),
        ([b"id", b"x" * (65 << 20), b"1", b"1"], "larger than 64 MB"),
        ([b"id", b"x" * (40 << 20), b"1", b"1", b"x" * (40 << 20)], "larger than 64 MB"),
        ([b"id", b'["a"]', b"1", b"1", b"", b""], "this one has 6"),
    ],
    ids=range(12),
)
def test_what_is_refused_is_told_why(frames: list[bytes], says: str) -> None:
    with street(answer_bytes=1 << 60) as there:
        there.send(frames)
        there.until_done(1)
        ((_, error),) = there.refused
        assert isinstance(error, BadRequest)
        assert says in str(error)
        assert len(there.connections.hung_up) == (len(frames) > 5)


@pytest.mark.parametrize(
    "content",
    [
        b"[" + b"[]," * AT_ONCE_BYTES + b"[]]",
        b"[" + b"{}," * AT_ONCE_BYTES + b"{}]",
        b'["' + b"x" * (2 * AT_ONCE_BYTES),
        b'["' + b"x" * (2 * AT_ONCE_BYTES) + b'"}',
        b'[["a"' + b" " * (2 * AT_ONCE_BYTES) + b"]",
        b'["a",' * AT_ONCE_BYTES,
        b'["a"]' + b" " * (2 * AT_ONCE_BYTES) + b"x",
        b"1" * (2 * AT_ONCE_BYTES),
        b"[[]]",
        b"{",
    ],
    ids=range(10),
)
def test_what_is_refused_is_let_go_without_a_collection(content: bytes) -> None:
    with street() as there:
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            there.send([b"id", content, b"7", b"2"])
            there.until_done(1)
            gc.collect()
            kept = [one for one in gc.garbage if isinstance(one, zmq.Frame | memoryview | BaseException | TextList)]
        finally:
            gc.set_debug(0)
            gc.enable()
            gc.garbage.clear()
        assert there.refused
        assert not kept


def test_an_answer_too_large_is_refused_with_its_figure() -> None:
    with street(answer_bytes=100 << 20, row_bytes=1 << 20) as there:
        there.send(encode_request(b"id", 1, ["a"] * 101), encode_request(b"id", 2, ["a"] * 100))
        there.until_done(2)
        assert "the answer to 101 texts may take 101.0 MB, but -max_answer_mb allows 100: send fewer" in there.reason()
        assert [request.request_id for _, request in there.let_in] == [b"2"]


def test_a_long_identity_is_dropped_and_many_frames_are_read_over_many_turns() -> None:
    with street() as there:
        there.send([b"i" * (20 << 20), b'["a"]', b"1", b"1"], [b"id", b'["a"]', b"1", b"1", *[b""] * 100_000])
        there.send(encode_command(b"good", 3, Command.SHOW_CONFIG))
        turns = 0
        while not there.let_in:
            there.turn()
            turns += 1
        assert there.let_in == [(2, CommandRequest(b"good", b"3", Command.SHOW_CONFIG))]
        assert there.noted == [(b"id", b"1"), (b"good", b"3")]
        assert "has 100004" in there.reason()
        assert turns > 1
        assert len(there.connections.hung_up) == 1
        assert there.connections.bytes_read > 20 << 20


def test_termination_is_no_job() -> None:
    with street() as there:
        there.send(encode_command(b"0", 0, Command.TERMINATION))
        there.until_done(1)
        assert there.let_in == [(0, CommandRequest(b"0", b"0", Command.TERMINATION))]
        assert there.noted == []


def test_each_note_has_one_end_whatever_strangers_send() -> None:
    rng = random.Random(5)
    messages = hostile.messages(rng)
    with street() as there:
        for _ in range(40):
            there.send(*(next(messages) for _ in range(50)), encode_request(b"good", 1, ["a"]))
            good = there.noted.count((b"good", b"1"))
            while there.noted.count((b"good", b"1")) == good or there.intake.is_reading:
                there.turn()
        ends = Counter([job for job, _ in there.refused] + [job for job, _ in there.let_in if job])
        assert ends == Counter(range(1, len(there.noted) + 1))
        assert sum(request.identity == b"good" for _, request in there.let_in) == 40
