"""The requests of one client and the replies to them. No socket, no clock, no thread of its own.

Callers `ask` and wait on the future that they get; whoever receives replies calls `settle`. Both may be many threads.

    ask ──▶ asked ──settle──▶ the future has its reply or its error
              │
              └──cancel of the future (timed out, given up)──▶ forgotten ──settle──▶ dropped
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from enum import Enum
from math import inf

from bert_serving.client.errors import ClientClosed, ModelMismatch
from bert_serving.client.fingerprints import mismatch
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.wire import ErrorReply, JsonReply, Reply, RowsReply, encode_options

MAX_FORGOTTEN = 10_000
"""Ids of requests that were given up, or sent again, are remembered, so that a late reply does not look like somebody
else's."""

MOST_RESTARTS = 2
"""So often a request is sent again because the server's ventilator died with it: it may be what the server dies of."""

MAX_UNHEARD = 1_000
"""Replies that wait for one listener; the oldest goes when another arrives."""


class Kind(Enum):
    """What a request wants back. Clients that share an identity share ids too, so an id alone says too little."""

    ROWS = RowsReply
    JSON = JsonReply

    def fits(self, reply: Reply) -> bool:
        return isinstance(reply, (self.value, ErrorReply))


@dataclass(slots=True, eq=False)
class Asked:
    """One request: cancel its future to give it up. After `deadline_s`, on the monotonic clock, nobody wants it."""

    request_id: int
    kind: Kind
    frames: list[bytes]
    future: Future[Reply]
    options: Options = NO_OPTIONS
    deadline_s: float = inf
    is_repeated: bool = False
    """It was sent again, so a second answer may come."""
    num_restarts: int = 0
    """How often it was sent again because the server's ventilator had died with it; each may bring one more answer."""

    def frames_at(self, now_s: float) -> list[bytes]:
        """As they are sent now: with the options, of which the timeout is what is left of it."""
        options = encode_options(self.options.until(self.deadline_s, now_s))
        return [*self.frames, options] if options else self.frames


class Listener:
    """Replies that nobody here asked for, the newest `MAX_UNHEARD` of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heard: deque[RowsReply | ModelMismatch] = deque(maxlen=MAX_UNHEARD)
        self._is_closed = False

    def hear(self, reply: RowsReply | ModelMismatch) -> None:
        with self._changed:
            self._heard.append(reply)
            self._changed.notify()

    def take(self, timeout_s: float | None) -> RowsReply | None:
        """The next reply; None if none came within `timeout_s` or none will come any more. Raises ModelMismatch."""
        with self._changed:
            self._changed.wait_for(lambda: self._heard or self._is_closed, timeout_s)
            heard = self._heard.popleft() if self._heard else None
        if isinstance(heard, ModelMismatch):
            raise heard
        return heard

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class Pending:
    """The requests of one client, by id, and who listens to what else arrives. Ids count up from `first_id`."""

    def __init__(self, first_id: int = 1) -> None:
        self._lock = threading.Lock()
        self._first_id = first_id
        self._last_id = first_id - 1
        self._asked: dict[int, Asked] = {}
        self._forgotten: dict[int, tuple[Kind, int]] = {}  # with how many answers may come; the oldest goes first
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._closed_because: str | None = None
        self.expect_fingerprint: str | None = None
        """Rows of a model with another fingerprint reach nobody: they become ModelMismatch."""

    @property
    def num_asked(self) -> int:
        """How many requests there have been."""
        return self._last_id + 1 - self._first_id

    @property
    def last_id(self) -> int:
        """Of the newest request; below the first id if there was none."""
        return self._last_id

    def ids(self) -> set[int]:
        """Ids of the requests without a reply."""
        with self._lock:
            return set(self._asked)

    def find(self, request_id: int) -> Asked | None:
        """The request of that id, if it has no reply."""
        with self._lock:
            return self._asked.get(request_id)

    def waiting(self) -> list[Asked]:
        """The requests without a reply, oldest first."""
        with self._lock:
            return list(self._asked.values())

    def __bool__(self) -> bool:
        return bool(self._asked)

    def ask(
        self,
        kind: Kind,
        build_frames: Callable[[int], list[bytes]],
        options: Options = NO_OPTIONS,
        deadline_s: float = inf,
    ) -> Asked:
        """Enter a request under the next id. Raises ClientClosed, and what `build_frames` raises."""
        with self._lock:
            self._check_open()
            self._last_id += 1
            request_id = self._last_id
        asked = Asked(request_id, kind, build_frames(request_id), Future(), options, deadline_s)
        with self._lock:
            self._check_open()
            self._asked[request_id] = asked
        asked.future.add_done_callback(lambda future: self._forget(asked) if future.cancelled() else None)
        return asked

    def settle(self, reply: Reply) -> None:
        """Give a reply to whoever waits for it; drop it if that one gave up; else let the listeners hear it."""
        with self._lock:
            asked = self._asked.get(reply.request_id)
            if asked is not None and asked.kind.fits(reply):
                del self._asked[reply.request_id]
                if asked.is_repeated:
                    self._remember(asked)
            else:
                asked = None
            is_late = asked is None and self._is_late(reply)
            listeners = list(self._listeners) if asked is None else []
        strange = self._strange(reply) if isinstance(reply, RowsReply) else None
        if asked is not None:
            _resolve(asked, strange or reply)
        elif isinstance(reply, RowsReply) and not is_late:
            for listener in listeners:
                listener.hear(strange or reply)

    def _strange(self, reply: RowsReply) -> ModelMismatch | None:
        """The error of rows that another model made; who asks for a view by name may have it from the expected one."""
        is_expected = reply.model and reply.model == self.expect_fingerprint
        return None if is_expected else mismatch(self.expect_fingerprint, reply.fingerprint)

    def take_restart(self, reply: ErrorReply) -> Asked | None:
        """The request to send again, now that its server says `server_restarted`; None if there is none.

        The third time it fails with that error. An error for what nobody waits for says nothing: an answer was faster.
        """
        with self._lock:
            asked = self._asked.get(reply.request_id)
            if asked is not None and asked.num_restarts < MOST_RESTARTS:
                asked.num_restarts += 1
                return asked
        self.fail(reply.request_id, reply.error)
        return None

    def fail(self, request_id: int, error: Exception) -> None:
        """Fail one request, if it still waits."""
        with self._lock:
            asked = self._asked.pop(request_id, None)
        if asked is not None:
            _resolve(asked, error)

    def fail_all(self, make_error: Callable[[], Exception]) -> None:
        """Fail every request that waits, each with an error of its own."""
        with self._lock:
            waiting = list(self._asked.values())
            self._asked.clear()
        for asked in waiting:
            _resolve(asked, make_error())

    def listen(self) -> Listener:
        """Hear what others with the same identity asked for, until the listener is no longer referenced."""
        listener = Listener()
        with self._lock:
            self._check_open()
            self._listeners.add(listener)
        return listener

    def close(self, because: str) -> None:
        """Fail what waits and whatever is asked from now on with ClientClosed."""
        with self._lock:
            self._closed_because = self._closed_because or because
            listeners = list(self._listeners)
        for listener in listeners:
            listener.close()
        self.fail_all(lambda: ClientClosed(because))

    def _check_open(self) -> None:
        if self._closed_because is not None:
            raise ClientClosed(self._closed_because)

    def _is_late(self, reply: Reply) -> bool:
        kind, num_answers = self._forgotten.get(reply.request_id, (None, 0))
        if kind is None or not kind.fits(reply):
            return False
        if num_answers > 1:
            self._forgotten[reply.request_id] = (kind, num_answers - 1)
        else:
            del self._forgotten[reply.request_id]
        return True

    def _forget(self, asked: Asked) -> None:
        with self._lock:
            if self._asked.pop(asked.request_id, None) is not None:
                self._remember(asked)

    def _remember(self, asked: Asked) -> None:
        self._forgotten[asked.request_id] = (asked.kind, 1 + asked.num_restarts)
        if len(self._forgotten) > MAX_FORGOTTEN:
            del self._forgotten[next(iter(self._forgotten))]


def _resolve(asked: Asked, outcome: Reply | Exception) -> None:
    """Outside the lock of Pending: a future runs its callbacks at once."""
    error = outcome.error if isinstance(outcome, ErrorReply) else outcome
    try:
        if isinstance(error, Exception):
            asked.future.set_exception(error)
        else:
            asked.future.set_result(error)
    except InvalidStateError:
        pass  # given up in this very moment
