"""A worker: takes parts from the ventilator, encodes them, and sends their rows to the sink. A process of its own.

One thread does all I/O; a loader thread loads the model; then others tokenize (`tokenizing.py`) and lanes compute
(`lanes.py`).
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from queue import SimpleQueue

import zmq

from bert_serving.client.frames import send
from bert_serving.client.options import deadline_of
from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Engine, Vectors
from bert_serving.server.errors import HungError
from bert_serving.server.message.codec import encode
from bert_serving.server.message.messages import (
    Done,
    Load,
    Message,
    NewSink,
    NewVentilator,
    Part,
    Ready,
    Stage,
    Stop,
)
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.transport import garbage, sockets
from bert_serving.server.transport.child_line import ALIVE_INTERVAL_S, ChildLine, VentilatorLine
from bert_serving.server.transport.meeting import Contact
from bert_serving.server.transport.orders import WorkerNeeds
from bert_serving.server.worker.encoder import limits_of, place
from bert_serving.server.worker.lanes import Lanes, Outcome, Tally, select
from bert_serving.server.worker.open_part import OpenPart
from bert_serving.server.worker.results import Results
from bert_serving.server.worker.tokenizing import Texts, Tokenizing

log = logging.getLogger(__name__)


LOOK_INTERVAL_S = 0.1
"""How often threads that hang are looked for, if there is anything to do at all."""


def run(config: ServerConfig, contact: Contact, needs: WorkerNeeds, fetch: Callable[[str], str] = str) -> None:
    """Run a worker until it is told to stop.

    `fetch` makes what `Launcher.share` gave something that the engine can load here.
    """
    with ExitStack() as opened:
        context = zmq.Context()
        opened.callback(context.destroy, linger=sockets.PUBLISH_LINGER_MS)
        wakeup = sockets.Wakeup()
        opened.callback(wakeup.close)
        poller = zmq.Poller()
        supervisor, ventilator = ChildLine(context, contact), VentilatorLine(context, contact, poller)
        supervisor.hello()

        def connect_sink(address: str) -> sockets.Socket:
            return sockets.connect_internal(context, zmq.PUSH, address, contact.keys)

        Worker(config, needs, supervisor, ventilator, connect_sink, poller, wakeup, fetch).loop()


class Worker:
    """The I/O loop."""

    def __init__(
        self,
        config: ServerConfig,
        needs: WorkerNeeds,
        supervisor: ChildLine,
        ventilator: VentilatorLine,
        connect_sink: Callable[[str], sockets.Socket],
        poller: zmq.Poller,
        wakeup: sockets.Wakeup,
        fetch: Callable[[str], str],
    ) -> None:
        self._config = config
        self._fetch = fetch
        self._device, self._where = needs.device, needs.where
        self._num_lanes = needs.lanes
        self._supervisor = supervisor
        self._ventilator = ventilator
        self._connect_sink = connect_sink
        self._poller = poller
        self._wakeup = wakeup
        self._for_loader: SimpleQueue[str] = SimpleQueue()
        self._loader_says: Results[str | Engine] = Results(wakeup.notify)
        self._sink: sockets.Socket | None = None
        self._engine: Engine | None = None
        self._fingerprint = ""
        self._lanes: Lanes | None = None
        self._tokenizing: Tokenizing | None = None
        self._open: dict[PartKey, OpenPart] = {}
        self._looked_s = 0.0
        self._stopping = False

    def loop(self) -> None:
        self._poller.register(self._supervisor.socket, zmq.POLLIN)
        self._poller.register(self._wakeup.fileno(), zmq.POLLIN)
        self._loader_says.start("loader", self._load)
        while not self._stopping:
            fired = dict(self._poller.poll(int(1_000 * ALIVE_INTERVAL_S)))
            now_s = time.monotonic()
            self._supervisor.beat(now_s)
            if now_s >= self._looked_s + LOOK_INTERVAL_S:
                self._looked_s = now_s
                self._end_if_hung(now_s)
            if self._supervisor.socket in fired:
                for message in self._supervisor.hear():
                    self._on_supervisor(message)
            if self._ventilator.socket in fired:
                for message in self._ventilator.hear():
                    self._on_ventilator(message)
            if self._wakeup.fileno() in fired:
                self._wakeup.clear()
                self._hear_loader()
                self._collect()
                self._ventilator.flush()
        if self._tokenizing is not None:
            self._tokenizing.close()
        if self._lanes is not None:
            self._lanes.close()
        if self._engine is not None:
            self._engine.close()

    # -- receive ------------------------------------------------------------------------------------------------------

    def _on_supervisor(self, message: Message) -> None:
        if isinstance(message, Stop):
            self._stopping = True
        elif isinstance(message, Load):
            self._connect_ventilator(message.ventilator)
            self._for_loader.put(message.prepared)
        elif isinstance(message, NewVentilator):
            self._connect_ventilator(message.address)

    def _on_ventilator(self, message: Message) -> None:
        if isinstance(message, NewSink):
            self._drop_work()
            if self._sink is not None:
                self._sink.close(linger=0)
            self._sink = self._connect_sink(message.rows_address)
        elif isinstance(message, Part):
            self._begin(message)

    def _connect_ventilator(self, address: str) -> None:
        self._drop_work()
        self._ventilator.connect(address)
        if self._lanes is not None:
            self._ventilator.say(self._supervisor.greeting)

    def _drop_work(self) -> None:
        """Nobody waits for it any more, or it will come again."""
        self._open.clear()
        if self._tokenizing is not None:
            self._tokenizing.drop_waiting()
        if self._lanes is not None:
            self._lanes.drop_waiting()

    def _begin(self, part: Part) -> None:
        """Let the texts of a part be tokenized, and their rows wait for a lane."""
        if self._tokenizing is None:
            raise RuntimeError("a part came before the model was loaded")
        now_s = time.monotonic()
        self._open[part.key] = held = OpenPart.of(self._config, part, now_s)
        deadline_s = deadline_of(part.timeout_ms, now_s)
        self._tokenizing.put(Texts(part, deadline_s, held.wanted))

    def _end_if_hung(self, now_s: float) -> None:
        """HungError if a thread does not end what it has begun: nothing but the end of the process ends a thread."""
        limit = f"(-compute_timeout {self._config.compute_timeout})"
        if self._lanes is not None and (hung_s := self._lanes.hung_s(now_s)):
            raise HungError(f"a micro-batch has run for {hung_s:.0f} s {limit} and does not end")
        if self._tokenizing is not None and (hung_s := self._tokenizing.hung_s(now_s)):
            raise HungError(f"tokenizing a text has taken {hung_s:.0f} s {limit} and does not end")

    # -- load ---------------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """In the loader thread: bring the model in while the I/O thread goes on."""

        def progress(stage: str) -> None:
            self._loader_says.put(stage)
            self._loader_says.notify()

        module = importlib.import_module(self._config.engine)
        module.preload()
        self._loader_says.put(module.load(self._config, self._fetch(self._for_loader.get()), self._num_lanes, progress))
        self._loader_says.notify()

    def _hear_loader(self) -> None:
        for said in self._loader_says.heard():
            if isinstance(said, str):
                self._supervisor.say(Stage(said))
            else:
                self._start_lanes(said)

    def _start_lanes(self, engine: Engine) -> None:
        device = self._device if engine.on_gpu else "cpu"
        if self._where:
            device += f" at {self._where}"
        self._engine, self._fingerprint = engine, engine.fingerprint
        self._lanes = Lanes(
            engine,
            limits_of(self._config, engine.on_gpu),
            self._wakeup.notify,
            timeout_s=self._config.compute_timeout,
            compile_timeout_s=self._config.start_timeout,
        )
        self._tokenizing = Tokenizing(
            engine,
            self._lanes,
            self._wakeup.notify,
            timeout_s=self._config.compute_timeout,
            show_tokens=self._config.show_tokens_to_client,
        )
        garbage.settle()
        log.info("ready on %s with %d compute lane(s)", device, engine.lanes)
        self._supervisor.say(Ready(device, self._fingerprint))
        self._ventilator.say(self._supervisor.greeting)

    # -- collect and reply --------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        self._hear_tokenizing()
        for outcome in self._lanes.outcomes.heard() if self._lanes is not None else ():
            self._hear_tokenizing()  # of these rows it told before it gave them to the lanes
            if outcome.result is None:
                for key in {row.part for row in outcome.rows} & self._open.keys():
                    self._end(key)  # without rows: the ventilator itself knows that it is too late
                continue
            for key in self._place(outcome, outcome.result):
                self._finish_if_complete(key)

    def _hear_tokenizing(self) -> None:
        for made in self._tokenizing.made.heard() if self._tokenizing is not None else ():
            held = self._open.get(made.key)
            if held is None:
                continue  # the part was dropped since
            if made.rows is None:
                self._end(made.key)  # without rows, as in `_collect`
                continue
            held.note(made)
            self._finish_if_complete(made.key)

    def _place(self, outcome: Outcome, result: Vectors | str) -> set[PartKey]:
        """Put rows where they belong; returns the parts that got some."""
        rows = outcome.rows
        positions: dict[PartKey, list[int]] = {}
        for position, row in enumerate(rows):
            if (chosen := positions.get(row.part)) is None:
                chosen = positions[row.part] = []
            chosen.append(position)
        touched = positions.keys() & self._open.keys()  # others were dropped since
        for key in touched:
            chosen = positions[key]
            if self._open[key].has_chunks:
                for position in [position for position in chosen if rows[position].chunk is not None]:
                    self._open[key].put_chunk(rows[position], result if isinstance(result, str) else result[position])
                chosen = [position for position in chosen if rows[position].chunk is None]
                if not chosen:
                    continue
            where = [rows[position].index for position in chosen]
            if isinstance(result, str) or len(chosen) == len(rows):
                place(self._open[key].assembly, where, result)
            elif len(chosen) == 1:
                place(self._open[key].assembly, where, result[chosen[0] : chosen[0] + 1])
            else:
                place(self._open[key].assembly, where, select(result, chosen))
        return touched

    def _finish_if_complete(self, key: PartKey) -> None:
        held, engine = self._open[key], self._engine
        if held.assembly.complete and self._sink is not None and engine is not None:
            model = self._fingerprint
            fingerprint = model if held.wanted is None else engine.fingerprint_with(held.wanted)
            send(self._sink, encode(held.as_rows(self._config, model, fingerprint)), copy=False)
            self._end(key)

    def _end(self, key: PartKey) -> None:
        """Let a part go."""
        held = self._open.pop(key)
        if self._lanes is not None and self._tokenizing is not None:
            self._ventilator.say_soon(_done(held, self._lanes.tally, self._tokenizing.tokenize_s, time.monotonic()))


def _done(held: OpenPart, tally: Tally, tokenize_s: float, now_s: float) -> Done:
    return Done(
        held.part.key.job,
        held.part.key.offset,
        tally.batches,
        tally.batch_rows,
        tally.tokens,
        tally.padded_tokens,
        tokenize_s,
        tally.compute_s,
        held.tokenized_s - held.begun_s,
        now_s - held.tokenized_s,
    )
