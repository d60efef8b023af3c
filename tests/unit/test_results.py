"""What threads make is taken in order, and an error that ends one is raised by who takes."""

from __future__ import annotations

import threading
from queue import Empty

import pytest

from bert_serving.server.worker.results import Results


def test_what_was_made_before_an_error_is_taken_before_it() -> None:
    notified = threading.Event()
    results: Results[int] = Results(notified.set)

    def make() -> None:
        results.put(1)
        results.put(2)
        raise MemoryError("for the test")

    results.start("maker", make).join(30)
    assert notified.is_set()  # who waits for results wakes up
    heard = results.heard()
    assert (next(heard), next(heard)) == (1, 2)
    with pytest.raises(MemoryError, match="for the test"):
        next(heard)
    assert results.empty()


def test_the_end_of_a_thread_is_no_result() -> None:
    results: Results[int] = Results(lambda: None)
    results.start("idle", lambda: None).join(30)
    assert list(results.heard()) == []
    with pytest.raises(Empty):
        results.get(0)


def test_an_exit_in_a_thread_is_no_way_to_end_unnoticed() -> None:
    results: Results[int] = Results(lambda: None)

    def leave() -> None:
        raise SystemExit(0)

    results.start("leaver", leave).join(30)
    with pytest.raises(SystemExit):
        results.get(30)
