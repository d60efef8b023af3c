"""What threads make for another one to take. An error that ends such a thread is raised by who takes.

So no thread of a worker ends unnoticed, which would leave all that waits for it without an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar, Union

T = TypeVar("T")


class Results(Generic[T]):
    """In the order in which they were made. `notify` is called when one is to be looked at at once."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self.notify = notify
        self._queue: SimpleQueue[Union[T, _Failure]] = SimpleQueue()

    def start(self, name: str, run: Callable[[], None]) -> threading.Thread:
        """A thread that makes some."""

        def guarded() -> None:
            try:
                run()
            except BaseException as error:
                self._queue.put(_Failure(error))
                self.notify()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def put(self, result: T) -> None:
        """From any thread."""
        self._queue.put(result)

    def get(self, timeout_s: float | None = None) -> T:
        """The next one, waiting for it. Raises queue.Empty after so long."""
        result = self._queue.get(timeout=timeout_s)
        if isinstance(result, _Failure):
            raise result.error
        return result

    def heard(self) -> Iterator[T]:
        """Those that there are."""
        while not self.empty():
            yield self.get()

    def empty(self) -> bool:
        """Whether there is none. Only who takes can rely on it."""
        return self._queue.empty()


class _Failure:
    """What ended a thread."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
