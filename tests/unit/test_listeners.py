"""Kept answers: delivered once to whoever comes, in order, within time and size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bert_serving.server.sink.listeners import MOST_NAMES, MOST_TALK_BYTES, Listeners

MOST_CLIENTS = 3


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
    listeners.subscribed(1, b"a")
    listeners.subscribed(2, b"a")
    listeners.unsubscribed(1, b"a")
    assert b"a" in listeners
    assert listeners.gone(2) == [b"a"]
    assert b"a" not in listeners


def test_nobody_ends_the_subscription_of_another() -> None:
    listeners = Listeners(ttl_s=10)
    listeners.subscribed(1, b"a")
    assert not listeners.unsubscribed(2, b"a")
    assert not listeners.unsubscribed(2, b"b")
    assert listeners.gone(2) == []
    assert b"a" in listeners


def test_a_name_that_is_subscribed_twice_counts_once() -> None:
    listeners = Listeners(ttl_s=10)
    assert listeners.subscribed(1, b"a")
    assert not listeners.subscribed(1, b"a")
    assert listeners.unsubscribed(1, b"a")
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
    for connection, identity in enumerate((b"a", b"b", b"c", b"c", b"a")):
        listeners.subscribed(connection, identity)
    assert [identity for identity in (b"a", b"b", b"c") if listeners.refuses(identity)] == [b"c"]
    listeners.unsubscribed(0, b"a")
    assert listeners.refuses(b"c")  # a clone of the first is there still
    listeners.gone(4)
    assert not listeners.refuses(b"c")
    listeners.subscribed(5, b"d")
    assert listeners.refuses(b"d")
    listeners.unsubscribed(5, b"d")
    listeners.gone(1)
    listeners.subscribed(6, b"e")
    assert not listeners.refuses(b"e")


class Comings(RuleBasedStateMachine):
    """Connections come, subscribe, unsubscribe and go; a list of pairs says who has what."""

    @initialize()
    def begin(self) -> None:
        self.listeners = Listeners(ttl_s=10, max_clients=MOST_CLIENTS)
        self.pairs: set[tuple[int, bytes]] = set()

    connections = st.integers(0, 6)
    names = st.integers(0, MOST_NAMES + 3).map(lambda number: b"%d" % number)

    @rule(connection=connections, name=names)
    def subscribe(self, connection: int, name: bytes) -> None:
        held = {other for one, other in self.pairs if one == connection}
        takes = self.listeners.takes(connection, name)
        assert takes is (name in held or len(held) < MOST_NAMES)
        if takes:
            assert self.listeners.subscribed(connection, name) is (name not in held)
            self.pairs.add((connection, name))

    @rule(connection=connections)
    def subscribe_to_many(self, connection: int) -> None:
        for number in range(MOST_NAMES + 4):
            self.subscribe(connection, b"%d" % number)

    @rule(connection=connections, name=names)
    def unsubscribe(self, connection: int, name: bytes) -> None:
        assert self.listeners.unsubscribed(connection, name) is ((connection, name) in self.pairs)
        self.pairs.discard((connection, name))

    @rule(connection=connections)
    def go(self, connection: int) -> None:
        before = {name for _, name in self.pairs}
        self.pairs = {(one, name) for one, name in self.pairs if one != connection}
        assert set(self.listeners.gone(connection)) == before - {name for _, name in self.pairs}

    @invariant()
    def who_listens_is_who_is_there(self) -> None:
        names = {name for _, name in self.pairs}
        assert len(self.listeners) == len(names)
        for name in names:
            assert self.listeners.connections(name) == {one for one, other in self.pairs if other == name}

    @invariant()
    def as_many_are_served_as_may_be(self) -> None:
        names = {name for _, name in self.pairs}
        served = [name for name in sorted(names) if not self.listeners.refuses(name)]
        assert len(served) == min(len(names), MOST_CLIENTS)

    def teardown(self) -> None:
        for connection in range(7):
            self.listeners.gone(connection)
        assert len(self.listeners) == 0
        assert not self.listeners._refused
        assert not self.listeners._identities


TestComings = Comings.TestCase
