"""Single messages that cost much: the ventilator keeps to its memory, answers in words, and serves others meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hostile
import numpy as np
import pytest
import zmq
from fake_engine import vector_of
from raw_client import RawClient
from serving import Connect, Serve, pids

from bert_serving.client import BertClient
from bert_serving.client.errors import BadRequest
from bert_serving.client.options import Options
from bert_serving.client.wire import ErrorReply, RowsReply, encode_options, encode_request
from bert_serving.server import BertServer

ROW_1 = rb'{"\ud800":1}'
HANG_S = 20


def peak_bytes(pid: int) -> int:
    """The most memory that a process had since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def reader_pid(server: BertServer) -> int:
    """The process that reads what clients send."""
    return pids(server)["ventilator"]


@contextmanager
def served_meanwhile(client: BertClient) -> Iterator[list[float]]:
    """A good client asks all the time; how long it waited each time, in seconds."""
    waited: list[float] = []
    failures: list[Exception] = []
    is_over = threading.Event()

    def ask() -> None:
        try:
            while not is_over.is_set():
                begin_s = time.monotonic()
                np.testing.assert_array_equal(client.encode(["good"]), [vector_of("good")])
                waited.append(time.monotonic() - begin_s)
        except Exception as error:  # an AssertionError, too
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield waited
    finally:
        is_over.set()
        thread.join()
    assert not failures
    assert waited


def test_no_options_end_the_service(serve: Serve, connect: Connect) -> None:
    server = serve()
    pid = reader_pid(server)
    with RawClient(server, b"stranger") as raw:
        for options in (ROW_1, *hostile.WRONG_OPTIONS):
            reply = raw.ask(b"stranger", b'["a"]', b"7", b"1", options)
            assert isinstance(reply, ErrorReply), options[:40]
            assert isinstance(reply.error, BadRequest)
            assert reply.error.message.isascii()
        for texts in hostile.WRONG_TEXTS:
            reply = raw.ask(b"stranger", texts, b"8", b"1")
            assert isinstance(reply, (ErrorReply, RowsReply)), texts[:40]
        for count in hostile.WRONG_COUNTS:
            assert isinstance(raw.ask(b"stranger", b'["a"]', b"9", count), ErrorReply), count[:40]
    np.testing.assert_array_equal(connect(server).encode(["a"]), [vector_of("a")])
    assert reader_pid(server) == pid


MANY = 1 << 20
MESSAGES = {
    "lists of nothing": [b"[" + b"[]," * (35 * MANY) + b"[]]", b"1", b"%d" % (35 * MANY + 1)],
    "two letters each": [b"[" + b'"ab",' * MANY + b'"ab"]', b"1", b"%d" % MANY],
    "one token each": [b"[" + b'["a"],' * MANY + b'"ab"]', b"1", b"%d" % MANY],
    "objects": [b"[" + b'{"a":0},' * (4 * MANY) + b"0]", b"1", b"%d" % (4 * MANY)],
    "deep": [b"[" * (40 * MANY), b"1", b"1"],
    "numbers": [b"[[" + b"1," * (20 * MANY) + b"x]]", b"1", b"1"],
    "a text without an end": [b'["' + b"\\u0041" * (10 * MANY), b"1", b"1"],
    "emoji": [b'["' + "\U0001f600".encode() * (10 * MANY) + b'",]', b"1", b"1"],
    "space": [b"[" + b" " * (60 * MANY), b"1", b"1"],
    "large options": [b'["a"]', b"1", b"1", b"[" * (60 * MANY)],
    "a large id": [b'["a"]', b"1" * (60 * MANY), b"1"],
}


@pytest.mark.parametrize("frames", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_takes_the_memory_of_its_bytes_and_no_other_ones_time(
    serve: Serve, connect: Connect, frames: list[bytes]
) -> None:
    server = serve()
    good = connect(server)
    good.encode(["warm"])
    pid, size = reader_pid(server), sum(map(len, frames))
    forget_peak(pid)
    before = peak_bytes(pid)
    with RawClient(server, b"stranger") as raw, served_meanwhile(good) as waited:
        reply = raw.ask(b"stranger", *frames)
        assert isinstance(reply, ErrorReply)
        assert isinstance(reply.error, BadRequest)
    assert peak_bytes(pid) - before < 3 * size + (64 << 20), (peak_bytes(pid) - before) >> 20
    assert max(waited) < HANG_S / 4
    assert reader_pid(server) == pid


def test_many_texts_take_the_memory_of_their_bytes_and_are_encoded(serve: Serve, connect: Connect) -> None:
    server = serve()
    good = connect(server)
    good.encode(["warm"])
    pid = reader_pid(server)
    texts = [f"{number:x}" for number in range(500_000)]
    frames = encode_request(b"stranger", 1, texts)
    forget_peak(pid)
    before = peak_bytes(pid)
    with RawClient(server, b"stranger") as raw, served_meanwhile(good):
        reply = raw.ask(*frames, encode_options(Options(timeout_ms=60_000)))
    assert isinstance(reply, RowsReply)
    for place in (0, 1, 255, 256, 499_999):
        np.testing.assert_array_equal(reply.array[place], vector_of(texts[place]))
    assert peak_bytes(pid) - before < 3 * len(frames[1]) + (64 << 20), (peak_bytes(pid) - before) >> 20


@pytest.mark.parametrize("number", [6, 1_000_000])
def test_frames_without_end_cost_no_memory(serve: Serve, connect: Connect, number: int) -> None:
    server = serve()
    good = connect(server)
    good.encode(["warm"])
    pid = reader_pid(server)
    forget_peak(pid)
    before = peak_bytes(pid)
    with RawClient(server, b"stranger") as raw, served_meanwhile(good):
        reply = raw.ask(b"stranger", b'["a"]', b"1", b"1", *[b""] * (number - 4))
    assert isinstance(reply, ErrorReply)
    assert f"has {number}" in reply.error.message
    # libzmq itself takes 64 bytes for each frame before anybody can read the first
    assert peak_bytes(pid) - before < 80 * number + (64 << 20), (peak_bytes(pid) - before) >> 20


def test_long_identities_are_not_kept(serve: Serve, connect: Connect) -> None:
    server = serve()
    good = connect(server)
    good.encode(["warm"])
    pid, sink = reader_pid(server), pids(server)["sink"]
    before = [peak_bytes(process) for process in (pid, sink)]
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.linger = 0
        push.connect(f"tcp://127.0.0.1:{server.config.port}")
        for number in range(12):
            push.send_multipart([b"%d" % number + b"i" * (25 << 20), b'["a"]', b"1", b"1"])
            push.send_multipart([b"%d" % number + b"i" * (25 << 20), b"SHOW_STATUS", b"1", b"0"])
            np.testing.assert_array_equal(good.encode(["good"]), [vector_of("good")])
        with RawClient(server, b"i" * 4000) as raw:
            assert isinstance(raw.ask(b"i" * 4000, b'["a"]', b"1", b"1"), RowsReply)
    assert peak_bytes(sink) - before[1] < 25 << 20
    assert peak_bytes(pid) - before[0] < 250 << 20, (peak_bytes(pid) - before[0]) >> 20


def test_an_answer_that_is_too_large_is_refused_with_its_figure(serve: Serve, connect: Connect) -> None:
    server = serve(max_answer_mb=1)
    client = connect(server)
    with pytest.raises(BadRequest, match=r"answer to 40000 texts may take 1.2 MB, but -max_answer_mb allows 1: send"):
        client.encode(["a"] * 40_000)
    assert client.encode(["a"] * 32_000).shape == (32_000, 8)


def test_token_vectors_count_by_their_longest_text(serve: Serve, connect: Connect) -> None:
    server = serve(max_answer_mb=1, pooling_strategy="NONE", max_seq_len=None)
    client = connect(server)
    assert client.encode(["ab"] * 5000).shape == (5000, 2, 8)
    with pytest.raises(BadRequest, match="-max_answer_mb allows 1"):
        client.encode(["ab"] * 4999 + ["x" * 100])
