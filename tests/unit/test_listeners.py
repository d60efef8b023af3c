"""Kept answers: delivered once to whoever comes, in order, within time and size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.core.listeners import MOST_TALK_BYTES, Listeners
from bert_serving.server.core.unsent import MOST_BYTES, Unsent


def taken(listeners: Listeners, identity: bytes) -> list[list[bytes]]:
    """All that is kept for it, as it goes out."""
    out = []
    while (frames := listeners.next_kept(identity)) is not None:
        out.append(frames)
        listeners.sent(identity)
    return out


def test_an_answer_waits_for_its_subscriber() -> None:
    listeners = Listeners(ttl_s=10)
    listeners.keep(b"a", [b"1"], now_s=0)
    listeners.keep(b"a", [b"2"], now_s=1)
    listeners.keep(b"b", [b"3"], now_s=1)
    assert taken(listeners, b"a") == [[b"1"], [b"2"]]
    assert taken(listeners, b"a") == []
    assert taken(listeners, b"b") == [[b"3"]]


def test_clones_listen_until_the_last_has_gone() -> None:
    listeners = Listeners(ttl_s=10)
    listeners.subscribed(b"a")
    listeners.subscribed(b"a")
    listeners.unsubscribed(b"a")
    assert b"a" in listeners
    listeners.unsubscribed(b"a")
    assert b"a" not in listeners


def test_answers_expire() -> None:
    listeners = Listeners(ttl_s=10)
    listeners.keep(b"a", [b"old"], now_s=0, job=7)
    listeners.keep(b"a", [b"new"], now_s=5)
    assert listeners.expire(now_s=9.9) == []
    assert listeners.expire(now_s=10) == [7]
    assert taken(listeners, b"a") == [[b"new"]]


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 60)), max_size=40))
def test_kept_bytes_stay_bounded_and_the_oldest_goes_first(answers: list[tuple[bytes, int]]) -> None:
    listeners = Listeners(ttl_s=1000, max_bytes=100)
    for now_s, (identity, size) in enumerate(answers):
        listeners.keep(identity, [bytes(size)], now_s, job=1)
        assert listeners._results.size <= 100
    kept = {identity: taken(listeners, identity) for identity in (b"a", b"b", b"c")}
    assert listeners._results.size == 0
    # what is left is a suffix of what was kept
    left = sum(map(len, kept.values()))
    for identity, frames in kept.items():
        expected = [size for i, size in answers[len(answers) - left :] if i == identity]
        assert [len(frame[0]) for frame in frames] == expected


def test_talk_has_bounds_of_its_own_and_drives_no_result_out() -> None:
    listeners = Listeners(ttl_s=1000)
    assert listeners.keep(b"a", [b"result"], now_s=0, job=1) == []
    given_up = [job for _ in range(10) for job in listeners.keep(b"a", [bytes(MOST_TALK_BYTES // 4)], now_s=1)]
    assert given_up == [0] * 6
    assert listeners.next_kept(b"a") == [b"result"]
    assert listeners.sent(b"a") == 1
    assert len(taken(listeners, b"a")) == 4


def test_one_client_too_many_is_refused_until_another_goes() -> None:
    listeners = Listeners(ttl_s=10, max_clients=2)
    for identity in (b"a", b"b", b"c", b"c", b"a"):
        listeners.subscribed(identity)
    assert [identity for identity in (b"a", b"b", b"c") if listeners.refuses(identity)] == [b"c"]
    listeners.unsubscribed(b"a")
    assert listeners.refuses(b"c")  # a clone of the first is there still
    listeners.unsubscribed(b"a")
    assert not listeners.refuses(b"c")
    listeners.subscribed(b"d")
    assert listeners.refuses(b"d")
    listeners.unsubscribed(b"d")
    listeners.unsubscribed(b"b")
    listeners.subscribed(b"e")
    assert not listeners.refuses(b"e")


def test_large_answers_on_their_way_to_one_client_are_bounded() -> None:
    unsent, sent = Unsent(), [False, False]
    assert unsent.has_room(b"a", 10 * MOST_BYTES)  # one goes out whatever its size
    unsent.add(b"a", MOST_BYTES // 2, lambda: sent[0])
    unsent.add(b"a", MOST_BYTES // 2, lambda: sent[1])
    assert not unsent.has_room(b"a", 1)
    assert unsent.has_room(b"b", MOST_BYTES)
    sent[0] = True
    assert unsent.has_room(b"a", MOST_BYTES // 2)
    assert not unsent.has_room(b"a", MOST_BYTES)
    unsent.forget(b"a")
    assert unsent.has_room(b"a", MOST_BYTES)
