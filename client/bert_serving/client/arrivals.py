"""Requests whose replies are fetched later, in order of arrival. No socket, no clock.

One instance serves `BertClient.fetch`; each `BertClient.encode_async` has one of its own, which a producer fills while
the consumer takes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from bert_serving.client.pending import Asked


class Arrivals:
    """Thread-safe. With a `window`, a producer waits while that many requests are not taken yet."""

    def __init__(self, window: int | None = None, has_producer: bool = False) -> None:
        self._changed = threading.Condition()
        self._outstanding: dict[int, Asked] = {}
        self._arrived: deque[Asked] = deque()
        self._window = window
        self._has_producer = has_producer
        self._producer_error: BaseException | None = None
        self._is_stopped = False

    def ids(self) -> set[int]:
        """Ids of the requests that were not taken yet."""
        with self._changed:
            return set(self._outstanding) | {asked.request_id for asked in self._arrived}

    def expect(self, ask: Callable[[], Asked]) -> None:
        """Make a request and enter it. Replies that come meanwhile wait, so that none passes the one to this."""
        with self._changed:
            asked = ask()
            self._outstanding[asked.request_id] = asked
            asked.future.add_done_callback(lambda _: self._arrive(asked))

    def take(self, timeout_s: float | None) -> Asked | None:
        """The next request that is done; None once there is none to wait for.

        Raises TimeoutError if requests are out and none arrives within `timeout_s`, and the producer's error when it
        ended with one and all that it asked for is taken.
        """
        with self._changed:
            while not self._arrived:
                if self._outstanding:
                    if not self._changed.wait_for(lambda: self._arrived or not self._outstanding, timeout_s):
                        raise TimeoutError
                elif self._has_producer:
                    self._changed.wait()
                elif self._producer_error is not None:
                    raise self._producer_error
                else:
                    return None
            self._changed.notify_all()
            return self._arrived.popleft()

    def wait_for_room(self) -> bool:
        """For the producer: wait until another request may be made; False if it should end."""
        with self._changed:
            self._changed.wait_for(self._has_room)
            return not self._is_stopped

    def finish(self, error: BaseException | None = None) -> None:
        """The producer has ended."""
        with self._changed:
            self._has_producer, self._producer_error = False, error
            self._changed.notify_all()

    def stop(self) -> None:
        """The consumer has ended: give up what is out."""
        with self._changed:
            self._is_stopped = True
            outstanding = list(self._outstanding.values())
            self._changed.notify_all()
        for asked in outstanding:
            asked.future.cancel()

    def _has_room(self) -> bool:
        return self._is_stopped or not self._window or len(self._outstanding) + len(self._arrived) < self._window

    def _arrive(self, asked: Asked) -> None:
        with self._changed:
            del self._outstanding[asked.request_id]
            if not asked.future.cancelled():
                self._arrived.append(asked)
            self._changed.notify_all()
