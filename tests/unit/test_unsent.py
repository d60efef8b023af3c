"""Bytes on the network: bounded for each client and for all, and the small ones wait for no large one."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.sink.unsent import FOLLOWED, MOST_BYTES, OVERHEAD, STUCK_S, Unsent


def test_large_answers_on_their_way_to_one_client_are_bounded() -> None:
    unsent, sent = Unsent(), [False, False]
    half = MOST_BYTES // 2 - OVERHEAD
    assert unsent.has_room(b"a", 10 * MOST_BYTES, now_s=0)  # one goes out whatever its size
    unsent.add(b"a", half, lambda: sent[0], now_s=0)
    unsent.add(b"a", half, lambda: sent[1], now_s=0)
    assert not unsent.has_room(b"a", 1, now_s=0)
    assert unsent.has_room(b"b", MOST_BYTES, now_s=0)
    sent[0] = True
    assert unsent.has_room(b"a", half, now_s=0)
    assert not unsent.has_room(b"a", MOST_BYTES, now_s=0)
    unsent.forget(b"a")
    assert unsent.has_room(b"a", MOST_BYTES, now_s=0)


def test_small_answers_are_followed_together() -> None:
    unsent, sent = Unsent(), False
    followed = 0
    for _ in range(1000):
        is_followed = unsent.is_followed(b"a", 1000)
        followed += is_followed
        unsent.add(b"a", 1000, (lambda: sent) if is_followed else None, now_s=0)
    assert 1000 * 1000 - FOLLOWED < unsent.size < 1000 * (1000 + OVERHEAD)
    assert followed < 30
    sent = True
    assert unsent.has_room(b"a", 1, now_s=0)
    assert unsent.size == 0


def test_all_together_are_bounded_and_the_largest_waits() -> None:
    unsent, sent = Unsent(most_bytes=400_000, most_together=1_000_000), False
    for number in range(10):
        assert unsent.has_room(b"%d" % number, 90_000, now_s=0)
        unsent.add(b"%d" % number, 90_000, lambda: sent, now_s=0)
    unsent.add(b"0", 99_000, lambda: sent, now_s=0)
    assert not unsent.has_room(b"0", 5_000, now_s=0)
    assert unsent.has_room(b"new", 5_000, now_s=0)  # it has less than an equal share
    sent = True
    assert unsent.has_room(b"0", 5_000, now_s=1)


def test_one_answer_beyond_all_bounds_goes_out_at_a_time() -> None:
    unsent, sent = Unsent(most_bytes=1_000, most_together=10_000), False
    unsent.add(b"small", 900, lambda: False, now_s=0)
    assert unsent.has_room(b"a", 50_000, now_s=0)
    unsent.add(b"a", 50_000, lambda: sent, now_s=0)
    assert not unsent.has_room(b"b", 50_000, now_s=1)
    assert unsent.has_room(b"b", 500, now_s=1)
    sent = True
    assert unsent.has_room(b"b", 50_000, now_s=2)


def test_who_reads_nothing_has_to_go_when_there_is_no_room_for_others() -> None:
    unsent, sent = Unsent(most_together=1_000_000), False
    unsent.add(b"a", 300_000, lambda: False, now_s=0)
    assert unsent.stuck(now_s=100) is None
    unsent.add(b"b", 350_000, lambda: sent, now_s=0)
    assert unsent.stuck(now_s=STUCK_S - 1) is None
    assert unsent.stuck(now_s=STUCK_S) == b"b"
    unsent.moved(b"b", now_s=STUCK_S)
    assert unsent.stuck(now_s=STUCK_S) == b"a"
    unsent.forget(b"a")
    sent = True
    assert unsent.stuck(now_s=10 * STUCK_S) is None


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(1, 5_000), st.booleans()), max_size=80))
def test_the_sum_is_that_of_what_waits(steps: list[tuple[bytes, int, bool]]) -> None:
    unsent = Unsent(most_bytes=20_000, most_together=40_000)
    waiting: list[dict[str, bool]] = []
    for now_s, (identity, size, is_sent) in enumerate(steps):
        if is_sent and waiting:
            waiting.pop(0)["sent"] = True
        if unsent.has_room(identity, size, now_s):
            answer = {"sent": False}
            waiting.append(answer)
            unsent.add(identity, size, partial(answer.__getitem__, "sent"), now_s)
        assert unsent.size <= 40_000 + 3 * (5_000 + 80 * OVERHEAD)
    for identity in (b"a", b"b", b"c"):
        unsent.forget(identity)
    assert unsent.size == 0
