"""Requests and replies find each other under any order of events."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from bert_serving.client import ClientClosed, ServerError
from bert_serving.client import pending as pending_module
from bert_serving.client.arrivals import Arrivals
from bert_serving.client.pending import Asked, Kind, Pending
from bert_serving.client.wire import ErrorReply, JsonReply, Reply, RowsReply


def make_reply(kind: str, request_id: int) -> Reply:
    if kind == "rows":
        return RowsReply(b"me", request_id, np.zeros((1, 2), np.float32), None, [], None)
    if kind == "json":
        return JsonReply(b"me", request_id, {})
    return ErrorReply(b"me", request_id, ServerError("no"))


def ask(pending: Pending, kind: Kind = Kind.ROWS) -> Asked:
    return pending.ask(kind, lambda request_id: [b"%d" % request_id])


class PendingMachine(RuleBasedStateMachine):
    """Asks, also again, gives up, and receives replies of any kind for any id, also ones that it never asked for."""

    asked = Bundle("asked")

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending()
        self.listener = self.pending.listen()
        self.waiting: dict[int, Asked] = {}
        self.may_be_late: dict[int, Kind] = {}
        self.expected_heard: list[Reply] = []

    @rule(target=asked, kind=st.sampled_from(Kind))
    def ask(self, kind: Kind) -> Asked:
        asked = ask(self.pending, kind)
        assert asked.request_id == self.pending.num_asked
        assert asked.frames == [b"%d" % asked.request_id]
        self.waiting[asked.request_id] = asked
        return asked

    @rule(asked=consumes(asked))
    def give_up(self, asked: Asked) -> None:
        assert asked.future.cancel() == (asked.request_id in self.waiting)
        if self.waiting.pop(asked.request_id, None):
            self.may_be_late[asked.request_id] = asked.kind

    @rule(asked=asked)
    def repeat(self, asked: Asked) -> None:
        asked.is_repeated = True

    @rule(kind=st.sampled_from(["rows", "json", "error"]), request_id=st.integers(1, 20))
    def receive(self, kind: str, request_id: int) -> None:
        reply = make_reply(kind, request_id)
        self.pending.settle(reply)
        asked = self.waiting.get(request_id)
        if asked is not None and asked.kind.fits(reply):
            del self.waiting[request_id]
            if asked.is_repeated:
                self.may_be_late[request_id] = asked.kind
            if kind == "error":
                assert isinstance(asked.future.exception(timeout=0), ServerError)
            else:
                assert asked.future.result(timeout=0) is reply
        elif request_id in self.may_be_late and self.may_be_late[request_id].fits(reply):
            del self.may_be_late[request_id]
        elif kind == "rows":
            self.expected_heard.append(reply)

    @rule()
    def hear(self) -> None:
        heard = self.listener.take(timeout_s=0)
        assert heard is (self.expected_heard.pop(0) if self.expected_heard else None)

    @rule()
    def fail_all(self) -> None:
        self.pending.fail_all(lambda: ServerError("gone"))
        for asked in self.waiting.values():
            assert isinstance(asked.future.exception(timeout=0), ServerError)
        self.waiting.clear()

    @invariant()
    def nothing_else_is_pending(self) -> None:
        assert self.pending.ids() == set(self.waiting)
        assert bool(self.pending) == bool(self.waiting)
        assert not any(asked.future.done() for asked in self.waiting.values())


TestPending = PendingMachine.TestCase
TestPending.settings = settings(max_examples=100, stateful_step_count=40)


def test_ids_count_from_one() -> None:
    pending = Pending()
    assert [ask(pending).request_id for _ in range(3)] == [1, 2, 3]


def test_a_config_never_answers_an_encode() -> None:
    pending = Pending()
    asked = ask(pending, Kind.ROWS)
    pending.settle(make_reply("json", 1))
    assert not asked.future.done()


def test_frames_that_cannot_be_built_leave_nothing_pending() -> None:
    def fail(request_id: int) -> list[bytes]:
        raise ValueError(request_id)

    pending = Pending()
    with pytest.raises(ValueError, match="1"):
        pending.ask(Kind.ROWS, fail)
    assert not pending


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_module, "MAX_FORGOTTEN", 10)
    monkeypatch.setattr(pending_module, "MAX_UNHEARD", 10)
    pending = Pending()
    listener = pending.listen()
    for _ in range(100):
        ask(pending).future.cancel()
    for request_id in range(1, 101):
        pending.settle(make_reply("rows", request_id))
    heard = 0
    while listener.take(timeout_s=0):
        heard += 1
    assert heard == 10


def test_nobody_listens_any_more() -> None:
    pending = Pending()
    listener: Any = pending.listen()
    del listener
    pending.settle(make_reply("rows", 1))
    assert not list(pending._listeners)


def test_close_ends_everything() -> None:
    pending = Pending()
    listener = pending.listen()
    asked = ask(pending)
    pending.close("over")
    with pytest.raises(ClientClosed, match="over"):
        asked.future.result(timeout=0)
    with pytest.raises(ClientClosed, match="over"):
        ask(pending)
    with pytest.raises(ClientClosed, match="over"):
        pending.listen()
    assert listener.take(timeout_s=None) is None


def test_many_threads_ask_and_give_up() -> None:
    pending = Pending()
    ids: list[int] = []

    def use() -> None:
        for turn in range(200):
            asked = ask(pending)
            ids.append(asked.request_id)
            if turn % 3:
                pending.settle(make_reply("rows", asked.request_id))
            else:
                asked.future.cancel()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids) == list(range(1, 1601))
    assert not pending


def test_arrivals_in_order_of_arrival() -> None:
    pending, arrivals = Pending(), Arrivals()
    for _ in range(3):
        arrivals.expect(lambda: ask(pending))
    for request_id in (3, 1):
        pending.settle(make_reply("rows", request_id))
    assert arrivals.ids() == {1, 2, 3}
    taken = [arrivals.take(0) for _ in range(2)]
    assert [asked.request_id for asked in taken if asked] == [3, 1]
    with pytest.raises(TimeoutError):
        arrivals.take(0)
    pending.settle(make_reply("error", 2))
    assert arrivals.take(0) is not None
    assert arrivals.take(0) is None


def test_stopped_arrivals_give_up() -> None:
    pending, arrivals = Pending(), Arrivals(window=1, has_producer=True)
    assert arrivals.wait_for_room()
    arrivals.expect(lambda: ask(pending))
    arrivals.stop()
    assert not pending
    assert not arrivals.wait_for_room()
