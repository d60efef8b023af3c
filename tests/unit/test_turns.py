"""Turns of urgent parts and of others."""

from __future__ import annotations

from bert_serving.server.worker.turns import URGENT_TURNS, Turns


def drain(turns: Turns[str], number: int = 1000) -> list[str]:
    found: list[str] = []
    while len(found) < number and (one := turns.next()) is not None:
        found.append(one)
    return found


def test_urgent_ones_come_first_in_order() -> None:
    turns: Turns[str] = Turns()
    for name in ("bulk 1", "bulk 2"):
        turns.add(name, urgent=False)
    for name in ("urgent 1", "urgent 2"):
        turns.add(name, urgent=True)
    assert drain(turns) == ["urgent 1", "urgent 2", "bulk 1", "bulk 2"]


def test_those_that_come_back_take_turns() -> None:
    turns: Turns[str] = Turns()
    turns.add("a", urgent=False)
    turns.add("b", urgent=False)
    found = []
    for _ in range(4):
        (one,) = drain(turns, 1)
        found.append(one)
        turns.add(one, urgent=False)
    assert found == ["a", "b", "a", "b"]


def test_no_end_of_urgent_ones_shuts_others_out() -> None:
    turns: Turns[str] = Turns()
    turns.add("bulk", urgent=False)
    for _ in range(10):
        turns.add("urgent", urgent=True)
    assert drain(turns).index("bulk") == URGENT_TURNS


def test_none_is_left_after_clear() -> None:
    turns: Turns[str] = Turns()
    for urgent in (True, False):
        turns.add("one", urgent=urgent)
    turns.clear()
    assert turns.next() is None
