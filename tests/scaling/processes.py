"""The ventilator and the sink of a simulation: one thread each, that spends time on every message.

The ventilator goes through the turns of the real loop and asks the service's own `Work` what to do, so whatever the
scheduler and the ledger would do at that moment happens here. The sink puts answers together with the own `Assembly`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Union

import numpy as np

from bert_serving.client.errors import ServerBusy
from bert_serving.client.wire import EncodeRequest
from bert_serving.server.message.assembly import Array, Assembly
from bert_serving.server.message.messages import Delivered, Done, Part, Ready, Received, Rows
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.transport.sockets import BURST_S
from bert_serving.server.ventilator.reading import read_of
from bert_serving.server.ventilator.scheduler import part_rows
from bert_serving.server.ventilator.work import Work
from scaling.cost import SinkCost, VentilatorCost
from scaling.events import Bell, Clock, Pause, Process
from scaling.machine import Machine
from scaling.meter import Meter

FromChild = Union[Done, Received, Delivered, Ready, None]
"""None: it has ended."""


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """The rows of a part, on their way to the sink."""

    part: Part
    lengths: list[int]


class Ventilator:
    """`send` passes a part to a worker by name, `refuse` an error to a client, `give_up` lost rows to the sink."""

    def __init__(
        self,
        clock: Clock,
        machine: Machine,
        cost: VentilatorCost,
        work: Work,
        num_workers: int,
        max_part_rows: int,
        send: Callable[[str, Part], None],
        refuse: Callable[[EncodeRequest, ServerBusy], None],
        give_up: Callable[[Rows], None],
    ) -> None:
        self.busy = Meter()
        self.messages = 0
        self._clock = clock
        self._machine = machine
        self._cost = cost
        self._work = work
        self._num_workers = num_workers
        self._max_part_rows = max_part_rows
        self._send, self._refuse, self._give_up = send, refuse, give_up
        self._requests: deque[EncodeRequest] = deque()
        self._from_children: deque[tuple[str, FromChild]] = deque()
        self._bell = Bell()
        self._waiting_parts = 0
        clock.start(self._loop())

    def ask(self, request: EncodeRequest) -> None:
        """A request arrives."""
        self._requests.append(request)
        self._bell.ring(self._clock)

    def hear(self, name: str, message: FromChild) -> None:
        """A message of a child arrives."""
        self._from_children.append((name, message))
        self._bell.ring(self._clock)

    def _loop(self) -> Process:
        while True:
            if not self._requests and not self._from_children:
                yield self._bell
                yield self._spend(self._cost.wake_s)
                continue
            yield self._spend(self._cost.turn_s)
            end_s = self._clock.now_s + BURST_S
            while self._from_children and self._clock.now_s < end_s:
                yield self._spend(self._on_child_message(*self._from_children.popleft()))
            end_s = self._clock.now_s + BURST_S
            while self._requests and self._clock.now_s < end_s:
                yield self._spend(self._on_request(self._requests.popleft()))
            yield from self._dispatch()

    def _spend(self, work_s: float) -> Pause:
        self.busy.add(self._clock.now_s, work_s)
        return self._machine.spend(work_s)

    # What follows tells how long it took; what it does is seen by nobody before the dispatch.

    def _on_request(self, request: EncodeRequest) -> float:
        self.messages += 1
        rows = len(request.texts)
        try:
            self._work.accept(read_of(request, self._work.part_rows(rows)), self.messages, self._clock.now_s)
            self._waiting_parts += -(-rows // part_rows(rows, self._num_workers, self._max_part_rows))
        except ServerBusy as error:
            self._refuse(request, error)
        return self._cost.request(rows)

    def _on_child_message(self, name: str, message: FromChild) -> float:
        self.messages += 1
        if isinstance(message, Done):
            self._work.finished(name, PartKey(message.job, message.offset))
            return self._cost.done_s
        if isinstance(message, Received):
            self._work.received(PartKey(message.job, message.offset))
            return self._cost.received_s
        if isinstance(message, Delivered):
            self._work.delivered(message.job, message.is_kept, self._clock.now_s)
            return self._cost.delivered_s
        if message is None:
            self._lose(name)
        else:
            self._work.add_worker(name)
        return self._cost.done_s

    def _lose(self, name: str) -> None:
        recovered = self._work.lose_worker(name)
        self._waiting_parts += recovered.parts
        for rows in recovered.poison:
            self._give_up(rows)

    def _dispatch(self) -> Process:
        for name, part in self._work.assign(self._clock.now_s):
            yield self._spend(self._cost.part(part.count))
            self.messages += 1
            self._waiting_parts = max(0, self._waiting_parts - 1)
            self._send(name, part)
        if not len(self._work):
            self._waiting_parts = 0  # parts of answered requests that came back with a lost worker
        if self._waiting_parts:
            yield self._spend(self._cost.choose_s)  # in vain


class Sink:
    """`answer` passes a request's rows to its client, `tell` a message to the ventilator."""

    def __init__(
        self,
        clock: Clock,
        machine: Machine,
        cost: SinkCost,
        answer: Callable[[bytes, bytes, Array | None], None],
        tell: Callable[[Received | Delivered], None],
    ) -> None:
        self.busy = Meter()
        self._clock = clock
        self._machine = machine
        self._cost = cost
        self._answer, self._tell = answer, tell
        self._inbox: deque[EncodedPart | Rows] = deque()
        self._bell = Bell()
        self._open: dict[int, Assembly] = {}
        self._closed: set[int] = set()
        clock.start(self._loop())

    def take(self, message: EncodedPart | Rows) -> None:
        """Rows arrive: of a part, or those that were given up."""
        self._inbox.append(message)
        self._bell.ring(self._clock)

    def _loop(self) -> Process:
        while True:
            if not self._inbox:
                yield self._bell
                yield self._spend(self._cost.wake_s)
                continue
            message = self._inbox.popleft()
            source = message.part if isinstance(message, EncodedPart) else message
            yield self._spend(self._cost.message_s + self._cost.row_s * source.count)
            envelope = source.envelope
            if envelope.job in self._closed:
                continue
            assembly = self._open.setdefault(envelope.job, Assembly(envelope.total))
            self._place(assembly, message)
            if not assembly.complete:
                self._tell(Received(envelope.job, source.offset))
                continue
            del self._open[envelope.job]
            self._closed.add(envelope.job)
            yield self._spend(self._cost.answer_s)
            self._answer(envelope.identity, envelope.request_id, None if assembly.failures else assembly.result(None))
            self._tell(Delivered(envelope.job, is_kept=False))

    def _spend(self, work_s: float) -> Pause:
        self.busy.add(self._clock.now_s, work_s)
        return self._machine.spend(work_s)

    def _place(self, assembly: Assembly, message: EncodedPart | Rows) -> None:
        if isinstance(message, Rows):
            for position, reason in message.failures:
                assembly.fail(message.offset + position, reason)
            return
        first = message.part.offset
        assembly.put(range(first, first + message.part.count), np.array(message.lengths, np.int32)[:, None])
