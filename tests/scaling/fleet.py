"""The workers of a simulation.

Each worker forms its micro-batches with the service's own `Batcher`, and spends what they were measured to cost. A
text says its own length in tokens: that is all that the model would need to know of it here.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Union

from bert_serving.server.message.messages import Part
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.worker.batcher import Batcher, Limits
from scaling.cost import ComputeCost, InOutCost
from scaling.events import Bell, Clock, Process
from scaling.machine import Machine
from scaling.meter import Meter

PlacedRow = tuple[PartKey, int]
"""Where it belongs, and its length."""


@dataclass(slots=True)
class Tally:
    """What has run so far."""

    batches: int = 0
    rows: int = 0
    tokens: int = 0
    padded_tokens: int = 0


@dataclass(slots=True)
class _OpenPart:
    part: Part
    lengths: list[int]
    missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.missing = len(self.lengths)


class Worker:
    """One I/O thread that takes parts in and tokenizes, and lanes that compute.

    `busy` counts the seconds of a core that the lanes take, `computed` the rows that came out, `reply` gets each
    finished part.
    """

    def __init__(
        self,
        clock: Clock,
        cost: ComputeCost,
        in_out: InOutCost,
        machine: Machine,
        limits: Limits,
        lanes: int,
        busy: Meter,
        computed: Meter,
        reply: Callable[[Part, list[int]], None],
    ) -> None:
        self.tally = Tally()
        self._clock = clock
        self._cost, self._in_out = cost, in_out
        self._machine = machine
        self._busy, self._computed = busy, computed
        self._reply = reply
        self._batcher: Batcher[PlacedRow] = Batcher(limits, lanes)
        self._inbox: deque[Union[Part, list[PlacedRow]]] = deque()
        self._open: dict[PartKey, _OpenPart] = {}
        self._has_mail, self._has_rows = Bell(), Bell()
        self._lanes_at_work: set[int] = set()
        self._threads = [self._do_io(), *(self._compute(number) for number in range(lanes))]
        for thread in self._threads:
            clock.start(thread)

    def take(self, part: Part) -> None:
        """A part arrives."""
        self._put(part)

    def end(self) -> None:
        """It dies, with all that it has."""
        for thread in self._threads:
            thread.close()
        self._machine.busy_lanes -= len(self._lanes_at_work)
        self._lanes_at_work.clear()

    def _put(self, message: Part | list[PlacedRow]) -> None:
        self._inbox.append(message)
        self._has_mail.ring(self._clock)

    def _do_io(self) -> Process:
        while True:
            if not self._inbox:
                yield self._has_mail
                continue
            message = self._inbox.popleft()
            if isinstance(message, Part):
                lengths = [int(text) for text in json.loads(message.texts)]
                yield self._machine.spend(self._in_out.take_s(lengths))
                self._begin(message, lengths)
            else:
                yield self._machine.spend(self._in_out.message_s)
                self._collect(message)

    def _begin(self, part: Part, lengths: list[int]) -> None:
        key = part.key
        self._open[key] = _OpenPart(part, lengths)
        self._batcher.add([(key, length) for length in lengths], lengths, self._clock.now_s, urgent=part.urgent)
        self._has_rows.ring(self._clock)

    def _compute(self, lane: int) -> Process:
        while True:
            rows = self._batcher.next(self._clock.now_s)
            if not rows:
                yield self._has_rows
                continue
            lengths = [length for _, length in rows]
            work_s = self._cost.run_s(lengths, self._machine.busy_lanes)
            self._count(lengths)
            self._busy.add(self._clock.now_s, work_s)
            self._machine.busy_lanes += 1
            self._lanes_at_work.add(lane)
            yield self._machine.spend(work_s)
            self._machine.busy_lanes -= 1
            self._lanes_at_work.discard(lane)
            self._computed.add(self._clock.now_s, len(rows))
            self._put(rows)

    def _count(self, lengths: list[int]) -> None:
        self.tally.batches += 1
        self.tally.rows += len(lengths)
        self.tally.tokens += sum(lengths)
        self.tally.padded_tokens += len(lengths) * max(lengths)

    def _collect(self, rows: list[PlacedRow]) -> None:
        for key, _ in rows:
            held = self._open[key]
            held.missing -= 1
            if not held.missing:
                del self._open[key]
                self._reply(held.part, held.lengths)
