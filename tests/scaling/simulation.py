"""A simulated service under a simulated load: wires clients, ventilator, workers, sink and what goes wrong.

Checks at its end that every accepted request was answered exactly once, with its own rows in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np

from bert_serving.client.errors import ServerBusy
from bert_serving.client.wire import EncodeRequest
from bert_serving.server.config import ServerConfig
from bert_serving.server.message.assembly import Array
from bert_serving.server.message.messages import Delivered, Done, Part, Ready, Received
from bert_serving.server.ventilator.work import Work
from bert_serving.server.worker.encoder import limits_of
from scaling.cost import Costs
from scaling.events import Clock, Process
from scaling.fleet import Tally, Worker
from scaling.machine import Machine
from scaling.meter import Meter
from scaling.processes import EncodedPart, Sink, Ventilator
from scaling.trace import Filler, Outage, Trace

LONGEST_S = 600.0
"""What is not answered so long after the last request counts as unanswered."""


class Broken(AssertionError):
    """The service did not keep its promise: an answer is missing, double or wrong."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers of a service. `noticed_s` is how long it takes until the end of one is noticed.

    Each has a machine of its own with so many cores, and ventilator and sink have one where they never wait for a core;
    or with `on_one_machine` all of them and the clients share one.
    """

    workers: int
    lanes: int = 2
    cores: float = inf
    on_one_machine: bool = False
    noticed_s: float = 0.01


@dataclass(slots=True)
class Asked:
    """A request, and what became of it. Times in seconds; `answered_s` is None as long as there is no answer."""

    client: bytes
    lengths: tuple[int, ...]
    urgent: bool
    asked_s: float
    filler: Filler | None = None
    answered_s: float | None = None
    refusals: int = 0
    failed: bool = False

    @property
    def latency_s(self) -> float:
        """How long it took; for ever if it was not answered."""
        return inf if self.answered_s is None else self.answered_s - self.asked_s


@dataclass(frozen=True, slots=True)
class Result:
    """What happened. Meters hold what ventilator, sink and all lanes took of cores, and the rows that were computed."""

    fleet: Fleet
    trace: Trace
    requests: list[Asked]
    ventilator: Meter
    sink: Meter
    lanes: Meter
    rows: Meter
    messages: int
    tokens: int
    padded_tokens: int
    ended_s: float


class Simulation:
    """One run of one trace; `config` gives the limits of the service.

    Machines begin at places of the swings that are far apart; the first one where the share `begin` of them is over.
    """

    def __init__(self, trace: Trace, fleet: Fleet, costs: Costs, config: ServerConfig, begin: float = 0.0) -> None:
        self._trace = trace
        self._fleet = fleet
        self._costs = costs
        self._config = config
        self._clock = Clock()
        self._begin = begin
        self._requests: list[Asked] = []
        self._unanswered = 0
        self._home = self._machine(0, fleet.cores if fleet.on_one_machine else inf)
        self._ventilator = Ventilator(
            self._clock, self._home, costs.ventilator, Work.of(config, fleet.workers), fleet.workers,
            config.max_batch_size, self._send_part, self._refuse, lambda rows: self._hop(lambda: self._sink.take(rows)),
        )  # fmt: skip
        self._sink = Sink(self._clock, self._home, costs.sink, self._answer, self._tell)
        self._workers: dict[str, Worker] = {}
        self._lanes, self._rows = Meter(), Meter()
        self._tallies: list[Tally] = []
        for number in range(fleet.workers):
            self._start_worker(number)

    def run(self, *, finish: bool = True) -> Result:
        """Until all is answered, or without `finish` to the end of the trace. Raises Broken if a promise is broken."""
        clock, trace = self._clock, self._trace
        clock.run(until_s=0.0)  # the workers come in
        for arrival in trace.arrivals:
            clock.at(arrival.at_s, partial(self._ask, arrival.client, arrival.lengths))
        for filler in trace.fillers:
            clock.at(filler.from_s, partial(self._fill, filler))
        for outage in trace.outages:
            clock.at(outage.at_s, partial(self._end_workers, outage))
        clock.run(trace.duration_s)
        if not finish:
            return self._result()
        clock.run(trace.duration_s + LONGEST_S, lambda: not self._unanswered)
        clock.run(clock.now_s + 1.0)  # a second answer to any of them would come now
        self._check()
        return self._result()

    # -- clients ------------------------------------------------------------------------------------------------------

    def _ask(self, client: bytes, lengths: tuple[int, ...], filler: Filler | None = None) -> None:
        urgent = len(lengths) <= self._config.priority_batch_size
        self._requests.append(Asked(client, lengths, urgent, self._clock.now_s, filler))
        self._unanswered += 1
        self._send_request(len(self._requests) - 1)

    def _send_request(self, number: int) -> None:
        asked = self._requests[number]
        request = EncodeRequest(asked.client, b"%d" % number, [str(length) for length in asked.lengths])
        self._as_client(len(asked.lengths), lambda: self._hop(lambda: self._ventilator.ask(request)))

    def _as_client(self, rows: int, then: Callable[[], None]) -> None:
        """Do what a client does to ask, or with an answer."""

        def work() -> Process:
            yield self._home.spend(self._costs.client.half_s(rows))
            then()

        if self._fleet.on_one_machine:
            self._clock.start(work())
        else:
            then()

    def _fill(self, filler: Filler) -> None:
        for number in range(filler.in_flight):
            self._ask(filler.client, filler.request(number), filler)

    def _answer(self, identity: bytes, request_id: bytes, rows: Array | None) -> None:
        number = int(request_id)
        count = len(self._requests[number].lengths)
        self._hop(lambda: self._as_client(count, lambda: self._on_answer(number, identity, rows)))

    def _on_answer(self, number: int, identity: bytes, rows: Array | None) -> None:
        asked = self._requests[number]
        if asked.answered_s is not None:
            raise Broken(f"request {number} was answered twice")
        asked.failed = rows is None
        if identity != asked.client or (rows is not None and not np.array_equal(rows[:, 0], asked.lengths)):
            raise Broken(f"request {number} was answered with rows of another")
        asked.answered_s = self._clock.now_s
        self._unanswered -= 1
        if asked.filler is not None and self._clock.now_s < asked.filler.until_s:
            self._ask(asked.client, asked.filler.request(number), asked.filler)

    def _refuse(self, request: EncodeRequest, error: ServerBusy) -> None:
        """The client comes again when it was told to, as BertClient does."""
        number = int(request.request_id)
        self._requests[number].refusals += 1
        wait_s = (error.retry_after_ms or 0) / 1000 + 2 * self._costs.hop_s
        self._clock.after(wait_s, lambda: self._send_request(number))

    def _check(self) -> None:
        missing = sum(asked.answered_s is None for asked in self._requests)
        if missing:
            raise Broken(f"{missing} of {len(self._requests)} requests were never answered")

    # -- inside the service -------------------------------------------------------------------------------------------

    def _hop(self, arrive: Callable[[], None]) -> None:
        """A message travels."""
        self._clock.after(self._costs.hop_s, arrive)

    def _send_part(self, name: str, part: Part) -> None:
        worker = self._workers.get(name)

        def arrive() -> None:
            if worker is not None and worker is self._workers.get(name):  # else it has ended meanwhile
                worker.take(part)

        self._hop(arrive)

    def _tell(self, message: Received | Delivered) -> None:
        self._hop(lambda: self._ventilator.hear("sink", message))

    # -- workers ------------------------------------------------------------------------------------------------------

    def _start_worker(self, number: int) -> None:
        name, config = f"worker-{number}", self._config
        limits = limits_of(config, on_gpu=False)
        machine = self._home if self._fleet.on_one_machine else self._machine(number, self._fleet.cores)

        def reply(part: Part, lengths: list[int]) -> None:
            self._hop(lambda: self._sink.take(EncodedPart(part, lengths)))
            done = Done(part.envelope.job, part.offset, 0, 0, 0, 0, 0.0, 0.0)
            self._hop(lambda: self._ventilator.hear(name, done))

        worker = Worker(
            self._clock, self._costs.compute, self._costs.in_out, machine, limits, self._fleet.lanes, self._lanes,
            self._rows, reply,
        )  # fmt: skip
        self._workers[name] = worker
        self._tallies.append(worker.tally)
        self._ventilator.hear(name, Ready("cpu", ""))

    def _machine(self, number: int, cores: float) -> Machine:
        swings = self._costs.swings
        place = self._begin + number / self._fleet.workers
        return Machine(self._clock, cores, swings, int(place * len(swings)))

    def _end_workers(self, outage: Outage) -> None:
        for number in outage.workers:
            name = f"worker-{number}"
            self._workers.pop(name).end()
            self._clock.after(self._fleet.noticed_s, partial(self._ventilator.hear, name, None))
            back_s = max(outage.back_s, self._clock.now_s + self._fleet.noticed_s)
            self._clock.at(back_s, partial(self._start_worker, number))

    def _result(self) -> Result:
        return Result(
            self._fleet, self._trace, self._requests, self._ventilator.busy, self._sink.busy, self._lanes,
            self._rows, self._ventilator.messages, sum(tally.tokens for tally in self._tallies),
            sum(tally.padded_tokens for tally in self._tallies), self._clock.now_s,
        )  # fmt: skip
