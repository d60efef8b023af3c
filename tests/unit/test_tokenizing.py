"""The tokenizing threads: every text of a part becomes a row or a sentence, urgent ones first, dropped ones never."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import fake_engine
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import contract
from bert_serving.server.engine.contract import Texts as EngineTexts
from bert_serving.server.message.envelope import Envelope
from bert_serving.server.message.messages import Part
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.wanted import Wanted
from bert_serving.server.worker import encoder, tokenizing
from bert_serving.server.worker.batcher import Limits
from bert_serving.server.worker.lanes import Lanes, Outcome
from bert_serving.server.worker.tokenizing import LARGE_PART_BYTES, SLICE_ROWS, Made, Texts, Tokenizing, read_list

LIMITS = Limits(max_rows=4, max_tokens=1024, spare_pairs=4000)
OVERDUE_S = 30.0


class Gated(fake_engine.FakeEngine):
    """Waits, at a text that is "!wait", until it may go on."""

    def __init__(self) -> None:
        super().__init__(ServerConfig(model_dir="M"), lanes=1)
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.seen: list[Any] = []

    def features(self, texts: EngineTexts, wanted: Wanted | None = None) -> list[contract.Made]:
        self.seen.append(texts[0])
        if "!wait" in texts:
            self.begun.set()
            assert self.may_go_on.wait(OVERDUE_S)
        return super().features(texts, wanted)


@contextmanager
def at_work(engine: fake_engine.FakeEngine, *, show_tokens: bool = False) -> Iterator[tuple[Tokenizing, Lanes]]:
    lanes = Lanes(engine, LIMITS, lambda: None)
    at_work = Tokenizing(engine, lanes, lambda: None, timeout_s=1, show_tokens=show_tokens)
    try:
        yield at_work, lanes
    finally:
        at_work.close()
        lanes.close()


def part_of(job: int, count: int, texts: bytes, *, urgent: bool = False) -> Part:
    return Part(Envelope(job, count, b"me", b"1"), 0, count, urgent, None, texts)


def part(job: int, texts: list[Any], *, urgent: bool = False, deadline_s: float = inf) -> Texts:
    return Texts(part_of(job, len(texts), json.dumps(texts).encode(), urgent=urgent), deadline_s)


def made_of(tokenizing: Tokenizing, *jobs: Texts) -> dict[int, list[Made]]:
    """What is made of these parts, until each has all."""
    found: dict[int, list[Made]] = {texts.part.key.job: [] for texts in jobs}
    missing = sum(texts.part.count for texts in jobs)
    while missing > 0:
        made = tokenizing.made.get(OVERDUE_S)
        found[made.key.job].append(made)
        missing -= len(made.rows or ())
    return found


def rows_of(made: list[Made]) -> list[contract.Made]:
    rows: list[contract.Made] = []
    for slice_ in made:
        assert slice_.first == len(rows)
        rows += slice_.rows or []
    return rows


def test_every_text_of_every_part_becomes_a_row() -> None:
    engine = fake_engine.FakeEngine(ServerConfig(model_dir="M"), lanes=2)
    parts = [part(job, [f"{job} {index}" for index in range(job * 13)], urgent=job % 2 == 0) for job in range(1, 20)]
    parts.append(part(20, ["x" * (LARGE_PART_BYTES // 3)] * 5))
    with at_work(engine) as (tokenizing, lanes):
        for one in parts:
            tokenizing.put(one)
        found = made_of(tokenizing, *parts)
        for one in parts:
            assert rows_of(found[one.part.key.job]) == engine.features(json.loads(one.part.texts))
        rows = sum(one.part.count for one in parts)
        while rows:
            rows -= len(lanes.outcomes.get(OVERDUE_S).rows)


@pytest.mark.parametrize("place", [0, 1, 70, 99])
def test_a_text_on_which_the_tokenizer_fails_is_blamed_alone(place: int) -> None:
    engine = fake_engine.FakeEngine(ServerConfig(model_dir="M"), lanes=1)
    texts = [f"text {index}" for index in range(100)]
    texts[place] = "!tokenizer-crash"
    with at_work(engine) as (tokenizing, _):
        tokenizing.put(one := part(1, texts))
        rows = rows_of(made_of(tokenizing, one)[1])
    assert [index for index, row in enumerate(rows) if isinstance(row, str)] == [place]
    assert rows[place] == "tokenization failed: RuntimeError"


@pytest.mark.parametrize("content", [b"", b"\xff", b'["a"', b'["a", "b"]', b"[" * 5000])
def test_a_list_that_cannot_be_read_fails_and_the_thread_lives_on(content: bytes) -> None:
    engine = fake_engine.FakeEngine(ServerConfig(model_dir="M"), lanes=1)
    with at_work(engine) as (tokenizing, _):
        tokenizing.put(broken := Texts(part_of(1, 3, content), inf))
        assert any(isinstance(row, str) for row in rows_of(made_of(tokenizing, broken)[1]))
        tokenizing.put(fine := part(2, ["a"]))
        assert rows_of(made_of(tokenizing, fine)[2]) == engine.features(["a"])


def put_behind_a_slice(engine: Gated, tokenizing: Tokenizing, *parts: Texts) -> None:
    """Put these while the thread is busy with another."""
    tokenizing.put(part(99, ["!wait"]))
    assert engine.begun.wait(OVERDUE_S)
    for one in parts:
        tokenizing.put(one)


def test_an_urgent_part_stands_before_what_is_left_of_a_large_one() -> None:
    engine = Gated()
    bulk = part(1, [f"bulk {index}" for index in range(5 * SLICE_ROWS)])
    urgent = part(2, ["urgent"], urgent=True)
    with at_work(engine) as (tokenizing, _):
        put_behind_a_slice(engine, tokenizing, bulk, urgent)
        engine.may_go_on.set()
        made_of(tokenizing, bulk, urgent, part(99, ["!wait"]))
    assert engine.seen[1] == "urgent"


def test_parts_take_turns_slice_by_slice() -> None:
    engine = Gated()
    parts = [part(job, [f"part {job}"] * (2 * SLICE_ROWS)) for job in (1, 2)]
    with at_work(engine) as (tokenizing, _):
        put_behind_a_slice(engine, tokenizing, *parts)
        engine.may_go_on.set()
        made_of(tokenizing, *parts, part(99, ["!wait"]))
    assert engine.seen[1:] == ["part 1", "part 2", "part 1", "part 2"]


def test_small_parts_of_several_requests_become_rows_at_once_and_run_together() -> None:
    engine = Gated()
    parts = [part(1, ["a"]), part(2, ["!tokenizer-crash"]), part(3, ["b", "c"]), part(4, ["late"], deadline_s=0)]
    with at_work(engine) as (tokenizing, lanes):
        put_behind_a_slice(engine, tokenizing, *parts)
        engine.may_go_on.set()
        made = made_of(tokenizing, *parts[:3], part(99, ["!wait"]))
        assert tokenizing.made.get(OVERDUE_S) == Made(PartKey(4, 0), 0, None)
        assert rows_of(made[1]) == engine.features(["a"])
        assert rows_of(made[2]) == ["tokenization failed: RuntimeError"]
        assert rows_of(made[3]) == engine.features(["b", "c"])
        while (1, 0) not in (together := places_of(lanes.outcomes.get(OVERDUE_S))):
            pass
    assert {(3, 0), (3, 1)} <= together


def places_of(outcome: Outcome) -> set[tuple[int, int]]:
    return {(row.part.job, row.index) for row in outcome.rows}


def test_a_long_text_keeps_no_others_waiting() -> None:
    engine = Gated()
    with at_work(engine) as (tokenizing, _):
        tokenizing.put(long := part(1, ["!wait", "x" * LARGE_PART_BYTES], urgent=True))
        assert engine.begun.wait(OVERDUE_S)
        tokenizing.put(short := part(2, ["a"]))
        made_of(tokenizing, short)
        engine.may_go_on.set()
        made_of(tokenizing, long)


def test_nothing_comes_of_parts_that_were_dropped_not_even_of_a_slice_at_work() -> None:
    engine = Gated()
    with at_work(engine) as (tokenizing, lanes):
        put_behind_a_slice(engine, tokenizing, part(1, ["dropped"]))
        tokenizing.drop_waiting()
        engine.may_go_on.set()
        tokenizing.put(after := part(3, ["after"]))
        (made,) = made_of(tokenizing, after)[3]
        assert lanes.outcomes.get(OVERDUE_S).rows[0].part == made.key
        assert tokenizing.made.empty()
    assert "dropped" not in engine.seen


def test_what_nobody_waits_for_any_more_is_not_tokenized() -> None:
    engine = Gated()
    with at_work(engine) as (tokenizing, _):
        tokenizing.put(part(1, ["late"], deadline_s=time.monotonic()))
        assert tokenizing.made.get(OVERDUE_S) == Made(PartKey(1, 0), 0, None)
    assert engine.seen == []


def test_tokens_are_told_where_they_are_to_be_shown() -> None:
    engine = fake_engine.FakeEngine(ServerConfig(model_dir="M"), lanes=1)
    with at_work(engine, show_tokens=True) as (tokenizing, _):
        tokenizing.put(one := part(1, ["a b", "!no-features", "c"]))
        (made,) = made_of(tokenizing, one)[1]
    assert made.tokens == [["a", "b"], [], ["c"]]


def test_a_slice_that_does_not_end_is_told_of() -> None:
    engine = Gated()
    with at_work(engine) as (tokenizing, _):
        now_s = time.monotonic()
        assert tokenizing.hung_s(now_s) is None
        tokenizing.put(part(1, ["!wait"]))
        assert engine.begun.wait(OVERDUE_S)
        later_s = time.monotonic()
        assert any(tokenizing.hung_s(later_s + seconds) for seconds in range(5))
        engine.may_go_on.set()


@given(
    st.lists(st.text() | st.lists(st.text()) | st.lists(st.integers())),
    st.sampled_from([None, (",", ":")]),
    st.booleans(),
    st.booleans(),
)
def test_a_list_is_read_as_the_json_module_reads_it(
    texts: list[Any], separators: Any, ascii_only: bool, long: bool
) -> None:
    dumps: Callable[..., str] = json.dumps
    written = dumps(texts, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(written.decode())
    except UnicodeDecodeError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizing, "_SLICE_LENGTH", 0 if long else sys.maxsize)
        assert list(read_list(written)) == expected


def test_failures_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    engine = fake_engine.FakeEngine(ServerConfig(model_dir="M"), lanes=1)
    rows = encoder.features_of(engine, ["!tokenizer-crash"] * 500)
    assert rows == ["tokenization failed: RuntimeError"] * 500
    assert len(caplog.records) <= 1
