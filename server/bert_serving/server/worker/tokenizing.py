"""The text side of a worker: threads that make rows of texts, a slice of a part at a time, and hand them to the lanes.

The worker's I/O thread feeds parts in and takes out what it must know of their texts; these threads touch no socket.
Large parts have a thread of their own, so that no short text waits for a long one.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from bert_serving.server.engine import contract
from bert_serving.server.engine.contract import Chunks, Engine, Row
from bert_serving.server.message import json_texts
from bert_serving.server.message.messages import Part
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.wanted import Wanted
from bert_serving.server.worker.encoder import failed_texts, features_of, placed
from bert_serving.server.worker.lanes import Lanes, PlacedRow
from bert_serving.server.worker.results import Results
from bert_serving.server.worker.turns import Turns
from bert_serving.server.worker.watch import Watch

LARGE_PART_BYTES = 256 << 10
SLICE_ROWS = 256
_SLICE_LENGTH = 1 << 16
"""Of the texts of a slice together, in characters or tokens; the last may be longer."""
_LARGE_TIMEOUTS = 10
"""A slice of a large part may take so many times as long as others: it may be one text as long as a message."""

_read = json.JSONDecoder().raw_decode
_between = re.compile(r"[,\s]*")


@dataclass(slots=True)
class Texts:
    """A part to tokenize. After `deadline_s` nobody needs its rows.

    `wanted` is None for what the server's config says.
    """

    part: Part
    deadline_s: float
    wanted: Wanted | None = None


@dataclass(slots=True)
class Made:
    """What became of the texts of a part from position `first` on: each a row, or a sentence why there is none.

    `rows` is None if it was too late for the rest of the part. `tokens` is empty unless they are to be shown. `at_s` is
    when, on the monotonic clock.
    """

    key: PartKey
    first: int
    rows: list[contract.Made] | None
    tokens: list[list[str]] = field(default_factory=list)
    at_s: float = field(default_factory=time.monotonic, compare=False)


class _Reading:
    """A part on its way: which texts are still to come."""

    def __init__(self, texts: Texts, generation: int) -> None:
        self.texts = texts
        self.generation = generation
        self.first = 0
        self._coming: Iterator[Any] | None = None

    @property
    def over(self) -> bool:
        return self.first >= self.texts.part.count

    def skip_rest(self) -> int:
        """Nothing more comes of it; returns where that begins."""
        first, self.first = self.first, self.texts.part.count
        return first

    def slice(self) -> list[Any]:
        """The next texts. ValueError if the list ends before its time."""
        part = self.texts.part
        if self._coming is None and part.count <= SLICE_ROWS and len(part.texts) <= _SLICE_LENGTH:  # nearly always
            return _first(read_short(part.texts), part.count)
        self._coming = self._coming or read_list(part.texts)
        some: list[Any] = []
        length = 0
        while len(some) < min(SLICE_ROWS, self.texts.part.count - self.first) and length < _SLICE_LENGTH:
            some.append(text := next(self._coming, None))
            if text is None:
                raise ValueError("the list of texts is too short")
            length += len(text)
        return some


class _Desk:
    """What one thread has before it. Those of all threads have the same lock."""

    def __init__(self, lock: threading.Lock, limit_s: float) -> None:
        self.changed = threading.Condition(lock)
        self.turns: Turns[_Reading] = Turns()
        self.watch = Watch(limit_s)


class Tokenizing:
    """Makes rows of whatever is `put`, for `lanes`. `notify` is called when the I/O thread should look at `made`."""

    def __init__(
        self, engine: Engine, lanes: Lanes, notify: Callable[[], None], *, timeout_s: float, show_tokens: bool
    ) -> None:
        self.made: Results[Made] = Results(notify)
        self.tokenize_s = 0.0
        self._engine = engine
        self._lanes = lanes
        self._show_tokens = show_tokens
        self._lock = threading.Lock()
        self._generation = 0
        self._closed = False
        self._small = _Desk(self._lock, timeout_s)
        self._large = _Desk(self._lock, timeout_s * _LARGE_TIMEOUTS)
        for name, desk in (("tokenizer", self._small), ("long-texts", self._large)):
            self.made.start(name, partial(self._run, desk))

    def put(self, texts: Texts) -> None:
        """Let these become rows."""
        desk = self._large if len(texts.part.texts) > LARGE_PART_BYTES else self._small
        with self._lock:
            desk.turns.add(_Reading(texts, self._generation), urgent=texts.part.urgent)
            desk.changed.notify()

    def drop_waiting(self) -> None:
        """Forget all parts: no row of theirs reaches the lanes any more, nor anything of them `made`."""
        with self._lock:
            self._generation += 1
            self._small.turns.clear()
            self._large.turns.clear()
            for _ in self.made.heard():
                pass

    def hung_s(self, now_s: float) -> float | None:
        """For how long a slice has not ended, if that is too long."""
        with self._lock:
            return self._small.watch.look(now_s, waiting=False) or self._large.watch.look(now_s, waiting=False)

    def close(self) -> None:
        """Take no more turns. A slice that is being made goes nowhere."""
        with self._lock:
            self._closed = True
            self._generation += 1
            self._small.changed.notify()
            self._large.changed.notify()

    def _run(self, desk: _Desk) -> None:
        while readings := self._take(desk):
            begin_s = time.perf_counter()
            made = self._make(readings)
            with self._lock:
                self.tokenize_s += time.perf_counter() - begin_s
                wanted = [
                    (reading, some)
                    for reading, some in zip(readings, made, strict=True)
                    if reading.generation == self._generation
                ]
                self._hand_on(wanted)
                for reading, _ in wanted:
                    if not reading.over:
                        desk.turns.add(reading, urgent=reading.texts.part.urgent)
                desk.watch.end("slice", time.monotonic())

    def _take(self, desk: _Desk) -> list[_Reading]:
        """The part whose turn it is, waiting for one, and the next ones while they are small; empty at the end."""
        with self._lock:
            while not self._closed:
                if readings := list(_together(desk.turns)):
                    desk.watch.begin("slice", time.monotonic())
                    return readings
                desk.changed.wait()
            return []

    def _make(self, readings: list[_Reading]) -> list[Made]:
        """Make the next slice of each."""
        slices = [_slice_of(reading) for reading in readings]
        together: dict[Wanted | None, list[Any]] = {}  # of those that want the same
        for reading, some in zip(readings, slices, strict=True):
            if isinstance(some, list):
                together.setdefault(reading.texts.wanted, []).extend(some)
        rows = {wanted: iter(features_of(self._engine, texts, wanted)) for wanted, texts in together.items() if texts}
        nothing: Iterator[contract.Made] = iter(())
        return [
            self._made(reading, some, rows.get(reading.texts.wanted, nothing))
            for reading, some in zip(readings, slices, strict=True)
        ]

    def _made(self, reading: _Reading, some: list[Any] | Exception | None, rows: Iterator[contract.Made]) -> Made:
        """What became of a slice, whose rows are next."""
        if some is None:
            return Made(reading.texts.part.key, reading.skip_rest(), None)
        if isinstance(some, Exception):
            return _rest_failed(reading, some)
        made = list(islice(rows, len(some)))
        try:
            shown = made if self._show_tokens else ()
            tokens = [self._tokens(row) for row in shown]
        except Exception as error:
            return _rest_failed(reading, error)
        first = reading.first
        reading.first += len(made)
        return Made(reading.texts.part.key, first, made, tokens)

    def _tokens(self, made: contract.Made) -> list[str]:
        if isinstance(made, Chunks):
            return [token for row in made.rows for token in self._engine.tokens(row)]
        return self._engine.tokens(made) if isinstance(made, Row) else []

    def _hand_on(self, made: list[tuple[_Reading, Made]]) -> None:
        """Tell the I/O thread first: it must know of a row before its vector comes. Rows of several parts come to the
        lanes at once, so that they can run together."""
        to_run: dict[bool, list[PlacedRow]] = {True: [], False: []}
        is_all = True
        for reading, some in made:
            self.made.put(some)
            to_run[reading.texts.part.urgent] += placed(some.key, some.first, some.rows or (), reading.texts.deadline_s)
            is_all = is_all and bool(some.rows) and str not in map(type, some.rows or ())
        for urgent, rows in to_run.items():
            if rows:
                self._lanes.put(rows, urgent)
        if not is_all:  # of a text without a row nothing else will tell
            self.made.notify()


def _together(turns: Turns[_Reading]) -> Iterator[_Reading]:
    """Those whose turn it is, as long as their texts are about a slice."""
    rows = length = 0
    while rows < SLICE_ROWS and length < _SLICE_LENGTH and (reading := turns.next()) is not None:
        rows += reading.texts.part.count - reading.first
        length += len(reading.texts.part.texts)
        yield reading


def _slice_of(reading: _Reading) -> list[Any] | Exception | None:
    """The next texts of a part, or why there are none; None if it is too late for them."""
    if reading.texts.deadline_s <= time.monotonic():
        return None
    try:
        return reading.slice()
    except Exception as error:
        return error


def _rest_failed(reading: _Reading, error: Exception) -> Made:
    first = reading.skip_rest()
    return Made(reading.texts.part.key, first, failed_texts(reading.texts.part.count - first, error))


def _first(texts: list[Any], count: int) -> list[Any]:
    if len(texts) < count:
        raise ValueError("the list of texts is too short")
    return texts if len(texts) == count else texts[:count]


def read_short(content: bytes) -> list[Any]:
    """As `read_list`, all at once."""
    texts: list[Any] = json_texts.read(content) or json.loads(content)
    return texts


def read_list(content: bytes) -> Iterator[Any]:
    """The values of a JSON list that we wrote; of a long one each by itself, for others wait for the interpreter."""
    if len(content) <= _SLICE_LENGTH:
        yield from read_short(content)
        return
    text = str(content, "utf-8")
    position = _end_of_blanks(text, text.index("[") + 1)
    while text[position] != "]":
        value, position = _read(text, position)
        yield value
        position = _end_of_blanks(text, position)


def _end_of_blanks(text: str, begin: int) -> int:
    found = _between.match(text, begin)
    return found.end() if found else begin
