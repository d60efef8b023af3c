"""Connections of a public socket: bounded, and hung up on alone, with real sockets."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import psutil
import pytest
import zmq
from zmtp import GREETING_BYTES, MORE, Wire, frame, greeting, ready, wire

from bert_serving.server.transport.connection_table import Bounds, Connection
from bert_serving.server.transport.connections import Connections

MB = 1 << 20
MESSAGE, TOGETHER, MOST = 8 * MB, 16 * MB, 12
PATIENCE_S = 30.0


class Reader:
    """What the ventilator does: reads whole messages, tells of them, and gives turns."""

    def __init__(self, opened: ExitStack) -> None:
        self.context = opened.enter_context(zmq.Context())
        self.sock = opened.enter_context(self.context.socket(zmq.PULL))
        self.sock.linger = 0
        self.sock.zap_domain = b"any"
        self.port = self.sock.bind_to_random_port("tcp://127.0.0.1")
        bounds = Bounds(MOST, MESSAGE, TOGETHER)
        self.connections = opened.enter_context(Connections(self.context, self.sock, bounds, None))
        self._clients = opened.enter_context(ThreadPoolExecutor(1))
        self.messages: list[list[bytes]] = []
        self.senders: list[Connection | None] = []
        self.most_memory = 0

    def wire(self) -> Wire:
        """A client's connection that was let in, which takes turns."""
        shaken = self._clients.submit(wire, self.port, b"PUSH")
        self.until(shaken.done)
        return shaken.result()

    def turn(self) -> None:
        for _ in range(100):
            try:
                frames = self.sock.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                self.connections.dry()
                break
            one = self.connections.of(frames[0])
            self.senders.append(one)
            if one is not None:
                self.connections.read(one, sum(map(len, frames)), len(frames))
            self.messages.append([frame.bytes[:10] for frame in frames])
        self.connections.turn(time.monotonic())
        self.most_memory = max(self.most_memory, psutil.Process().memory_info().rss)

    def until(self, is_done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not is_done():
            assert time.monotonic() < end_s, "it never came"
            self.turn()
            self.sock.poll(5)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def reader(opened: ExitStack) -> Reader:
    return Reader(opened)


def pour(reader: Reader, raw: Wire, content: bytes, most: int) -> int:
    """Send it again and again, while the reader has its turns, until it has hung up; bytes sent."""
    raw.socket.setblocking(False)
    sent, before = 0, 0
    while sent < most:
        try:
            sent += raw.socket.send(memoryview(content)[sent % len(content) :])
        except BlockingIOError:
            reader.sock.poll(1)
        except OSError:
            return sent
        reader.turn()
        if len(reader.connections) < before:
            return sent
        before = len(reader.connections)
    raise AssertionError(f"{sent} bytes were taken")


@pytest.mark.parametrize("size", [MB, 100_000, 1000])
def test_a_message_that_never_ends_is_ended_and_takes_no_memory(reader: Reader, size: int) -> None:
    before = psutil.Process().memory_info().rss
    with reader.wire() as raw, reader.wire() as good:
        good.send(frame(b"first"))
        reader.until(lambda: bool(reader.messages))
        pour(reader, raw, frame(bytes(size), MORE) * (MB // size), most=40 * MESSAGE)
        good.send(frame(b"second"))
        reader.until(lambda: reader.messages == [[b"first"], [b"second"]])
        reader.until(lambda: len(reader.connections) == 1)
    assert reader.most_memory - before < 200 * MB


def test_countless_frames_of_two_bytes_take_no_memory_either() -> None:
    with ExitStack() as opened:
        reader = Reader(opened)
        reader.connections._table.bounds = Bounds(MOST, 256 * MB, 512 * MB)
        reader.turn()
        before = psutil.Process().memory_info().rss
        with reader.wire() as raw:
            pour(reader, raw, b"\1\0" * (1 << 15), most=64 * MB)
        assert reader.most_memory - before < 300 * MB


def test_unfinished_messages_are_bounded_together(reader: Reader) -> None:
    raws = [reader.wire() for _ in range(5)]
    for raw in raws:
        raw.socket.setblocking(False)
    rest = [frame(bytes(5 * MB), MORE) for _ in raws]

    def are_through() -> bool:
        for number, raw in enumerate(raws):
            try:
                rest[number] = rest[number][raw.socket.send(rest[number]) :]
            except BlockingIOError:
                pass
            except OSError:
                rest[number] = b""
        return not any(rest)

    reader.until(are_through)
    reader.until(lambda: len(reader.connections) == 3)  # 15 MB of 16
    for raw in raws:
        raw.close()


def test_honest_messages_as_large_as_they_may_be_all_arrive(reader: Reader) -> None:
    with reader.context.socket(zmq.PUSH) as push, reader.context.socket(zmq.PUSH) as other:
        for sock in (push, other):
            sock.linger = 0
            sock.connect(f"tcp://127.0.0.1:{reader.port}")
        for _ in range(5):  # two at once, which the bounds allow however long they wait to be read
            reader.messages.clear()
            for sock in (push, other):
                sock.send_multipart([b"id", bytes(MESSAGE - 1000), b"1", b"1"], copy=False)
            reader.until(lambda: len(reader.messages) == 2)
        assert len(reader.connections) == 2


def test_connections_are_bounded_and_silent_ones_go_first(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bert_serving.server.transport.connection_table.SILENT_S", 0.0)
    with reader.wire() as good:
        good.send(frame(b"first"))
        reader.until(lambda: bool(reader.messages))
        crowd = [socket.create_connection(("127.0.0.1", reader.port)) for _ in range(3 * MOST)]
        reader.until(lambda: len(reader.connections) <= MOST)
        good.send(frame(b"second"))
        late = reader.wire()
        late.send(frame(b"late"))
        reader.until(lambda: len(reader.messages) == 3)
        assert len(reader.connections) <= MOST
        late.close()
        for sock in crowd:
            sock.close()
    reader.until(lambda: len(reader.connections) == 0)


def test_a_flood_of_connections_is_forgotten(reader: Reader) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(500):
        socket.create_connection(("127.0.0.1", reader.port)).close()
        reader.turn()
    reader.until(lambda: len(reader.connections) == 0)
    reader.until(lambda: len(os.listdir("/proc/self/fd")) == descriptors)


def test_none_is_ended_for_another_that_had_its_descriptor(reader: Reader) -> None:
    with reader.wire() as first:
        first.send(frame(b"first"))
        reader.until(lambda: bool(reader.messages))
        (old,) = reader.connections._table
    reader.until(lambda: len(reader.connections) == 0)
    with reader.wire() as second:
        second.send(frame(b"second"))
        reader.until(lambda: len(reader.messages) == 2)
        (new,) = reader.connections._table
        old.fd = new.fd
        reader.connections.hang_up(old)
        assert not second.is_hung_up_on(0.2)
        reader.connections.hang_up(new)
        assert second.is_hung_up_on()


@pytest.mark.parametrize("was_heard", [True, False])
def test_what_one_left_unread_counts_for_no_other_that_has_its_descriptor(reader: Reader, was_heard: bool) -> None:
    def had_the_same() -> bool:
        reader.messages.clear()
        with reader.wire() as first:
            if was_heard:
                first.send(frame(b"heard"))
                reader.until(lambda: bool(reader.messages))
            (old,) = reader.connections._table
            first.send(frame(b"left") * 500)  # the library takes them in, and nobody reads them
        while len(reader.connections):
            reader.connections.turn(time.monotonic())
        reader.messages.clear()
        reader.senders.clear()
        with reader.wire() as second:
            second.send(frame(b"mine"))
            reader.until(lambda: len(reader.messages) == 501)
            (new,) = reader.connections._table
        for content, sender in zip(reader.messages, reader.senders, strict=True):
            assert sender is (new if content == [b"mine"] else None)
        reader.until(lambda: not len(reader.connections))
        return new.fd == old.fd

    # whatever else opens a file meanwhile may get it
    assert any(had_the_same() for _ in range(50)), "no descriptor was used again"


# -- handshakes -------------------------------------------------------------------------------------------------------


def at_the_door(opened: ExitStack, reader: Reader) -> socket.socket:
    """A connection that has said all that it can before it is let in, and was told no more than a greeting."""
    sock = opened.enter_context(socket.create_connection(("127.0.0.1", reader.port), timeout=PATIENCE_S))
    sock.sendall(greeting() + ready(b"PUSH"))
    assert reader.connections.sockets[-1].poll(int(1000 * PATIENCE_S)), "nobody was asked"
    told = b""
    while len(told) < GREETING_BYTES:  # it comes in pieces
        told += (piece := sock.recv(GREETING_BYTES - len(told)))
        assert piece, "the greeting was cut"
    return sock


def what_follows(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 10)
    except ConnectionResetError:
        return b""


def test_nobody_comes_in_before_it_was_looked_at(opened: ExitStack) -> None:
    reader = Reader(opened)
    first = at_the_door(opened, reader)
    assert not select.select([first], [], [], 0)[0]
    reader.turn()
    assert b"READY" in what_follows(first)
    first.sendall(frame(b"first"))
    reader.until(lambda: reader.messages == [[b"first"]])
    (one,) = reader.connections._table
    reader.connections.hang_up(one)

    others = [at_the_door(opened, reader) for _ in range(3)]
    reader.until(lambda: not len(reader.connections))
    assert [what_follows(other) for other in others] == [b""] * 3, "one of an address that did harm was let in"


def test_an_old_library_that_asks_for_no_mechanism_is_turned_away(opened: ExitStack) -> None:
    """Of 2012 and before: it would come in unasked."""
    reader = Reader(opened)
    with socket.create_connection(("127.0.0.1", reader.port), timeout=PATIENCE_S) as sock:
        sock.sendall(b"\xff" + bytes(8) + b"\x7f\x01\x08" + frame(b"") + frame(b"old"))  # ZMTP 2
        with suppress(ConnectionResetError):
            while sock.recv(1 << 10):
                reader.turn()
    reader.turn()
    assert not reader.messages
