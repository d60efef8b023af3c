"""What a request may say beside its texts. Pure; both ends read and write options by this table, in `wire.py`.

The fields of `Options` are the table. A new option is one field, which says what values it takes, and the place that
heeds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf
from typing import Any, TypeVar

from bert_serving.client.errors import InvalidInputValue, quoted

MAX_TIMEOUT_MS = (1 << 53) - 1
_MOST_NAMED = 3

_T = TypeVar("_T", bound="Options")


@dataclass(frozen=True, slots=True)
class Option:
    """What the table says of one option: which values it takes, in words and as a check, besides None."""

    must_be: str
    takes: Callable[[Any], bool]
    shapes_answer: bool = True
    """Whether the same texts have another answer with another value."""

    def as_field(self) -> dict[str, Option]:
        """For `field(metadata=..)`."""
        return {"option": self}


def _is_timeout(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_TIMEOUT_MS


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request. None stands for what was not said."""

    timeout_ms: int | None = field(
        default=None, metadata=Option("a whole number above 0", _is_timeout, shapes_answer=False).as_field()
    )
    """Nobody waits longer for the answer, from when this was sent on."""

    @classmethod
    def of(cls: type[_T], values: Mapping[str, Any]) -> _T:
        """Those that are named. Raises InvalidInputValue for a name that is not known, or a value of a wrong kind."""
        table = table_of(cls)
        if unknown := sorted(values.keys() - table.keys()):
            named = ", ".join(f"{quoted(name)} ({quoted(values[name], 40)})" for name in unknown[:_MOST_NAMED])
            raise InvalidInputValue(f"there is no option {named}: known are {', '.join(table)}")
        for name, value in values.items():
            if value is not None and not table[name].takes(value):
                raise InvalidInputValue(f"{name} must be {table[name].must_be}, not {quoted(value)}")
        return cls(**values)

    @classmethod
    def within(cls: type[_T], timeout_s: float | None) -> _T:
        """Nobody waits longer than so many seconds; None for as long as it takes."""
        return cls() if timeout_s is None else cls(timeout_ms=_whole_ms(timeout_s))

    def given(self) -> dict[str, Any]:
        """What was said, by name."""
        return {name: value for name in table_of(type(self)) if (value := getattr(self, name)) is not None}

    def shaping(self) -> Options:
        """Those alone that change the answer; `NO_OPTIONS` if none does."""
        table = table_of(type(self))
        shaping = {name: value for name, value in self.given().items() if table[name].shapes_answer}
        return type(self)(**shaping) if shaping else NO_OPTIONS

    def deadline_s(self, now_s: float) -> float:
        """When nobody waits any more, on the clock that says `now_s`; infinity if somebody always does."""
        return deadline_of(self.timeout_ms, now_s)

    def until(self: _T, deadline_s: float, now_s: float) -> _T:
        """The same with the time that is left."""
        return self if deadline_s == inf else replace(self, timeout_ms=left_ms(deadline_s, now_s))


NO_OPTIONS = Options()


_tables: dict[type[Options], dict[str, Option]] = {}


def table_of(kind: type[Options]) -> dict[str, Option]:
    """The table: what is known of each option, by name."""
    table = _tables.get(kind)
    if table is None:
        table = _tables[kind] = {one.name: one.metadata["option"] for one in fields(kind)}
    return table


def deadline_of(timeout_ms: int | None, now_s: float) -> float:
    """When a `timeout_ms` is over that counts from now; infinity for None."""
    return inf if timeout_ms is None else now_s + timeout_ms / 1000


def left_ms(deadline_s: float, now_s: float) -> int | None:
    """The `timeout_ms` of what is left until then; None for infinity."""
    return None if deadline_s == inf else _whole_ms(deadline_s - now_s)


def _whole_ms(seconds: float) -> int:
    return min(max(1, int(1000 * seconds)), MAX_TIMEOUT_MS)
