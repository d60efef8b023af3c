"""Measures what the ventilator's steps cost: the real `Work`, codec and sockets, timed one by one on this machine.

What it costs to wake up is known from a real ventilator alone: `calibration.py` adds it.
"""

from __future__ import annotations

import json
import selectors
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import zmq

from bert_serving.client.wire import EncodeRequest, decode_count, decode_sender, encode_request
from bert_serving.server.message.codec import decode, encode
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import Delivered, Done, Part, Received
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.transport import sockets
from bert_serving.server.transport.run_keys import RunKeys
from bert_serving.server.ventilator.admission import Admission
from bert_serving.server.ventilator.reading import Reading, ReadRequest, read_of
from bert_serving.server.ventilator.work import Work
from scaling.cost import VentilatorCost

REPEATS = 200
ROUNDS = 5
FLEETS = (2, 64, 1000)
PARTS_HELD = 8
"""By each worker, while the scheduler is timed."""

_ROWS = 128
_PART_ROWS = 32
_NOW_S = 0.0


def measure(text: str) -> VentilatorCost:
    """All but `wake_s`, which is 0. `text` is what a row is made of: its length counts in the codec."""
    one, many = [text], [text] * _ROWS
    request_s, requests_s = _request(one), _request(many)
    with ExitStack() as opened:
        wire = _Wire(opened)
        part_s, parts_s = wire.send_s(_part(one)), wire.send_s(_part(many))
        nothing_s, poll_s = wire.nothing_s(), wire.poll_s()
        receive_s = {
            kind: wire.receive_s(message)
            for kind, message in (
                ("done", Done(1, 0, 100, 1000, 10000, 11000, 1.2345678, 12.345678)),
                ("received", Received(1, 0)),
                ("delivered", Delivered(1, False)),
            )
        }
    choose_s, finished_s, confirmed_s = _scheduler_costs()
    row_s = max(0.0, parts_s - part_s) / (_ROWS - 1)
    request_row_s = (requests_s - request_s) / (_ROWS - 1)
    return VentilatorCost(
        wake_s=0.0,
        turn_s=poll_s + 2 * nothing_s,  # each burst ends when there is nothing more
        request_s=request_s - request_row_s,
        request_row_s=request_row_s,
        choose_s=choose_s,
        part_s=part_s - row_s,
        part_row_s=row_s,
        done_s=receive_s["done"] + finished_s,
        received_s=receive_s["received"] + confirmed_s,
        delivered_s=receive_s["delivered"] + confirmed_s,
    )


def _median_s(step: Callable[[int], object], repeats: int = REPEATS, rounds: int = ROUNDS) -> float:
    """The median over rounds of the mean time of a step; `step` gets a number that it has never got before."""
    means = []
    for number in range(rounds):
        begin_s = time.perf_counter()
        for repeat in range(repeats):
            step(number * repeats + repeat)
        means.append((time.perf_counter() - begin_s) / repeats)
    return median(means)


def _work(workers: int, max_part_rows: int = 256, window_rows: int = 1280) -> Work:
    work = Work(
        Admission(1 << 40, 1 << 60),
        num_workers=workers,
        max_part_rows=max_part_rows,
        priority_rows=16,
        window_rows=window_rows,
    )
    for number in range(workers):
        work.add_worker(f"worker-{number}")
    return work


def _request(texts: list[str]) -> float:
    """To read a request and take it in."""
    work = _work(1)
    asked = [encode_request(b"a client with a usual identity", number, texts) for number in range(REPEATS * ROUNDS)]

    def step(number: int) -> None:
        frames = asked[number]
        identity, request_id = decode_sender(frames, len(frames))
        total = decode_count(frames[3])
        reading = Reading(memoryview(frames[1]), total, work.part_rows(total))
        while not reading.read():
            pass
        request = ReadRequest(identity, request_id, total, reading.parts, reading.size, reading.digest)
        work.accept(request, number + 1, _NOW_S)

    return _median_s(step)


def _part(texts: Sequence[str]) -> Part:
    content = json.dumps(list(texts)).encode()
    envelope = Envelope(1, len(texts), b"a client with a usual identity", b"12345")
    return Part(envelope, 0, len(texts), False, None, content)


class _Wire:
    """A ROUTER and one DEALER, as between ventilator and worker."""

    def __init__(self, opened: ExitStack) -> None:
        context: zmq.Context[Any] = opened.enter_context(zmq.Context())
        folder, keys = Path(opened.enter_context(sockets.socket_folder())), RunKeys.make()
        self._router, address = sockets.bind_internal(context, zmq.ROUTER, folder, "measured", keys)
        opened.enter_context(self._router)
        self._dealer = opened.enter_context(sockets.connect_internal(context, zmq.DEALER, address, keys, "worker-0"))
        self._dealer.send(b"")
        self._router.recv_multipart()

    def send_s(self, part: Part) -> float:
        def step(_: int) -> None:
            self._router.send_multipart([b"worker-0", *encode(part)])

        took_s = _median_s(step)
        for _ in range(REPEATS * ROUNDS):
            self._dealer.recv_multipart()
        return took_s

    def nothing_s(self) -> float:
        """To find that there is no message."""
        return _median_s(lambda _: list(sockets.burst(self._router)))

    def poll_s(self) -> float:
        """To ask all that the loop waits on, a socket and three descriptors, and the children for news."""
        poller = zmq.Poller()
        with selectors.EpollSelector() as children:
            for source in (self._router, self._dealer, children.fileno()):
                poller.register(source, zmq.POLLIN)
            return _median_s(lambda _: (poller.poll(0), children.select(0)))

    def receive_s(self, message: Done | Received | Delivered) -> float:
        """To take a message in, and find in `Work` that nobody knows of it."""
        work = _work(1)
        for _ in range(REPEATS * ROUNDS):
            self._dealer.send_multipart(encode(message))
        time.sleep(0.5)  # until they are there

        def step(_: int) -> None:
            name, *frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
            heard = decode([frame.bytes for frame in frames])
            if isinstance(heard, Done):
                work.finished(name.bytes.decode(), PartKey(heard.job, heard.offset))
            elif isinstance(heard, Received):
                work.received(PartKey(heard.job, heard.offset))
            elif isinstance(heard, Delivered):
                work.delivered(heard.job, heard.is_kept, _NOW_S)

        return _median_s(step)


def _scheduler_costs() -> tuple[float, float, float]:
    """What it takes to hand out a part, to note that it was computed, and that it is safe; the median of fleets."""
    found = map(_scheduler_costs_of, FLEETS)
    choose_s, finished_s, confirmed_s = (median(values) for values in zip(*found, strict=True))
    return choose_s, finished_s, confirmed_s


def _scheduler_costs_of(workers: int) -> list[float]:
    work = _work(workers, _PART_ROWS, PARTS_HELD * _PART_ROWS)
    rows = (workers * PARTS_HELD + 1) * _PART_ROWS  # one part more than there is room for
    work.accept(read_of(EncodeRequest(b"bulk", b"1", ["37"] * rows), work.part_rows(rows)), 1, _NOW_S)
    for _ in work.assign(_NOW_S):
        pass
    for number in range(REPEATS):
        work.accept(read_of(EncodeRequest(b"urgent", b"%d" % number, ["37"]), 1), number + 2, _NOW_S)
    out: list[tuple[str, Part]] = []
    choose_s = _taken_s(lambda: out.extend(work.assign(_NOW_S)))
    keys = [(name, part.key) for name, part in out]

    def finish() -> None:
        for name, key in keys:
            work.finished(name, key)

    def confirm() -> None:
        for _, key in keys:
            work.received(key)

    return [total_s / len(keys) for total_s in (choose_s, _taken_s(finish), _taken_s(confirm))]


def _taken_s(step: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    step()
    return time.perf_counter() - begin_s
