"""Ventilators that die at any moment, and a sink: each request that was noted gets an answer, and only one.

The log is the real one, cut where a writer may have died; so is the outbox. The sink is played.
"""

from __future__ import annotations

import os
from collections import Counter, deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bert_serving.client.wire import encode_json_reply
from bert_serving.server.message.messages import Answer, Void
from bert_serving.server.ventilator.log_records import Found, read
from bert_serving.server.ventilator.open_log import OpenLog, make_files
from bert_serving.server.ventilator.outbox import Outbox


class Handover(RuleBasedStateMachine):
    """A ventilator answers what it notes by its outbox, or rows come from workers; the sink says what it has done."""

    def __init__(self) -> None:
        super().__init__()
        self._made = make_files()
        self.files = self._made.__enter__()
        self.asked = 0
        self.noted: dict[int, bytes] = {}  # request ids by job, of what is in the log for certain
        self.unanswered: set[int] = set()  # as the ventilator that is there knows
        self.to_sink: deque[Answer | Void] = deque()
        self.said: deque[int] = deque()  # by the sink, under way
        self.closed: set[int] = set()
        self.answers: Counter[int] = Counter()
        self.begin()

    def teardown(self) -> None:
        self.pass_on()
        for job in list(self.unanswered):
            self.rows(job)
        self.sink_works(10**6)
        self.hear(10**6)
        assert set(self.noted) <= self.closed
        assert len(self.log) == 0
        self._made.__exit__(None, None, None)

    def begin(self) -> None:
        """What a ventilator does first."""
        self.log, self.outbox = OpenLog(self.files), Outbox()
        self.unanswered = set()
        for entry in self.log.inherited:
            self.outbox.put(Answer(entry.number, encode_json_reply(entry.identity, entry.request_id, {})))

    @rule(kind=st.sampled_from(["rows", "answer", "void"]))
    def ask(self, kind: str) -> None:
        self.asked += 1
        job = self.log.open(b"client", b"%d" % self.asked)
        assert job not in self.noted
        assert job not in self.closed
        self.noted[job] = b"%d" % self.asked
        if kind == "rows":
            self.unanswered.add(job)
        else:
            answer = Answer(job, encode_json_reply(b"client", b"%d" % self.asked, {}))
            self.outbox.put(Void(job) if kind == "void" else answer)

    @rule()
    def pass_on(self) -> None:
        while (message := self.outbox.next()) is not None:
            self.outbox.sent()
            self.to_sink.append(message)

    @rule(count=st.integers(1, 5))
    def sink_works(self, count: int) -> None:
        for _ in range(min(count, len(self.to_sink))):
            message = self.to_sink.popleft()
            if isinstance(message, Answer) and message.job not in self.closed:
                self.answers[message.job] += 1
            self.closed.add(message.job)
            self.said.append(message.job)

    @rule(data=st.data())
    def rows_arrive(self, data: st.DataObject) -> None:
        if self.unanswered:
            self.rows(data.draw(st.sampled_from(sorted(self.unanswered))))

    def rows(self, job: int) -> None:
        """All rows of a job are with the sink, whatever has become of the ventilator that sent its parts."""
        if job not in self.closed:
            self.answers[job] += 1
            self.closed.add(job)
            self.said.append(job)

    @rule(count=st.integers(1, 5))
    def hear(self, count: int) -> None:
        for _ in range(min(count, len(self.said))):
            job = self.said.popleft()
            self.log.close(job)
            self.outbox.confirmed(job)
            self.unanswered.discard(job)

    @rule(data=st.data(), arrives=st.booleans())
    def die(self, data: st.DataObject, arrives: bool) -> None:
        """While it writes a record, of which any part may be there; what is under way may be lost."""
        self.asked += 1
        sizes = [os.fstat(descriptor).st_size for descriptor in self.files]
        self.log.open(b"cut", b"%d" % self.asked)
        grown = [os.fstat(descriptor).st_size for descriptor in self.files]
        for descriptor, size, full in zip(self.files, sizes, grown, strict=True):
            if full > size > 0:
                os.ftruncate(descriptor, data.draw(st.integers(size, full - 1)))
        if not arrives:
            self.to_sink.clear()
            self.said.clear()
        late = data.draw(st.sampled_from(sorted(self.unanswered))) if self.unanswered else None
        self.begin()
        if late is not None:
            self.rows(late)  # its workers had sent them before they heard of it

    @invariant()
    def nobody_is_answered_twice(self) -> None:
        assert max(self.answers.values(), default=0) <= 1

    @invariant()
    def what_is_not_over_is_in_the_log(self) -> None:
        assert set(self.noted) - self.closed <= open_jobs(self.files)


def open_jobs(files: tuple[int, int]) -> set[int]:
    """What stands in the log, without writing to it."""
    contents = [os.pread(descriptor, os.fstat(descriptor).st_size, 0) for descriptor in files]
    return set(max((read(content) or Found() for content in contents), key=lambda found: found.generation).entries)


TestHandover = Handover.TestCase
TestHandover.settings = settings(max_examples=150, stateful_step_count=40)
