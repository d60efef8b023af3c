"""The options of a request, besides its texts. Pure; both ends use this table, in `wire.py`.

The fields of `Options` are the table. A new option is one field, which says what values it takes, and the code that
implements it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import inf
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar

from bert_serving.client.errors import InvalidInputValue, quoted
from bert_serving.client.views import View, views_of

MAX_TIMEOUT_MS = (1 << 53) - 1
MOST_PROMPT_CHARACTERS = 4_000
TRUNCATE = ("right", "left", "second", "error", "chunks")
"""How to cut a text that is too long: at its end or its beginning; a pair only in its second text; not at all, so the
request fails; or not at all, and the vector is the mean of the text's chunks, weighted by their number of tokens."""
_MOST_NAMED = 3

_T = TypeVar("_T", bound="Options")


class AskedOfOne(TypedDict, total=False):
    """The part of `Asked` that leaves the type of the answer as it is."""

    pooling: str | None
    layers: Sequence[int] | None
    normalize: bool | None
    dimensions: int | None
    prompt: str | None
    truncate: Literal["right", "left", "second", "error", "chunks"] | None
    is_pair: bool


class Asked(AskedOfOne, total=False):
    """What may be asked of each call of `encode` and its like, besides its other arguments.

    `pooling`, `layers`, `normalize` and `dimensions` are the fields of one `View`; `views` holds several. `prompt` is
    the name of one of the model's prompts, or a text to put before each text; '' for none. `truncate` is one of
    `TRUNCATE`. `is_pair`: each text is a pair of texts. `offsets`: also return the character positions of the tokens.
    """

    views: Sequence[View] | None
    offsets: bool


_OF_ONE_VIEW = ("pooling", "layers", "normalize", "dimensions")


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Option:
    """What the table says of one option: which values it takes, in words and as a check, besides None.

    `read` makes a value of what was given, or raises ValueError; `write` makes JSON of the value.
    """

    must_be: str
    takes: Callable[[Any], bool] = lambda value: True
    shapes_answer: bool = True
    """Whether the same texts have another answer with another value."""
    read: Callable[[Any], Any] = _as_it_is
    write: Callable[[Any], Any] = _as_it_is

    def as_field(self) -> Any:
        """The field of `Options`."""
        return field(default=None, metadata={"option": self})


def _is_timeout(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_TIMEOUT_MS


def _is_prompt(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > MOST_PROMPT_CHARACTERS:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


_SWITCH = Option("true or false", lambda value: isinstance(value, bool))


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request. None means that it was not set."""

    timeout_ms: int | None = Option("a whole number above 0", _is_timeout, shapes_answer=False).as_field()
    """Nobody waits longer for the answer, from when this was sent on."""
    views: tuple[View, ...] | None = Option(
        "a list of views", read=views_of, write=lambda views: [view.as_json() for view in views]
    ).as_field()
    """Several vectors of each text, side by side."""
    prompt: str | None = Option(
        f"the name of a prompt, or a text of at most {MOST_PROMPT_CHARACTERS} characters", _is_prompt
    ).as_field()
    """What is put before each text."""
    truncate: str | None = Option(
        f"one of {', '.join(TRUNCATE)}", lambda value: isinstance(value, str) and value in TRUNCATE
    ).as_field()
    is_pair: bool | None = _SWITCH.as_field()
    """Each text is a list of two."""
    offsets: bool | None = _SWITCH.as_field()
    """The answer has the character positions of tokens and chunks."""
    as_list: bool = field(default=False, compare=False)
    """No option, and not sent: whether who asked gets the views in a list, though it be one."""

    @staticmethod
    def asked(**asked: Any) -> Options:
        """What somebody asks for in Python, by the names of `Asked`.

        Raises InvalidInputValue, and TypeError for a name that is none of them.
        """
        if not asked:
            return NO_OPTIONS  # nearly always
        if unknown := [name for name in asked if name not in Asked.__annotations__]:
            raise TypeError(f"unknown argument {unknown[0]!r}: the known ones are {', '.join(Asked.__annotations__)}")
        given = {name: value for name, value in asked.items() if value is not None and value is not False}
        one = {name: asked[name] for name in _OF_ONE_VIEW if asked.get(name) is not None}
        if one and "views" in given:
            raise InvalidInputValue(f"{', '.join(one)} and views: use the former for one view, or views for several")
        rest = {name: value for name, value in given.items() if name not in _OF_ONE_VIEW}
        options = Options.of({**rest, "views": [one]} if one else rest)
        return replace(options, as_list="views" in rest)

    @classmethod
    def of(cls: type[_T], values: Mapping[str, Any]) -> _T:
        """Those that are named. Raises InvalidInputValue for a name that is not known, or a value of a wrong kind."""
        table = table_of(cls)
        if unknown := sorted(values.keys() - table.keys()):
            named = ", ".join(f"{quoted(name)} ({quoted(values[name], 40)})" for name in unknown[:_MOST_NAMED])
            raise InvalidInputValue(f"unknown option {named}: the known ones are {', '.join(table)}")
        return cls(**{name: _read(name, table[name], value) for name, value in values.items()})

    def given(self) -> dict[str, Any]:
        """What was said, by name."""
        return {name: value for name in table_of(type(self)) if (value := getattr(self, name)) is not None}

    def as_json(self) -> dict[str, Any]:
        """The same as JSON, which `of` reads."""
        table = table_of(type(self))
        return {name: table[name].write(value) for name, value in self.given().items()}

    @property
    def is_plain(self) -> bool:
        """Whether nothing is said but for how long somebody waits."""
        if self is NO_OPTIONS:
            return True
        values = _readers_of(type(self)).beside_timeout(self)
        return values.count(None) == len(values)

    def shaping(self) -> Options:
        """Those alone that change the answer; `NO_OPTIONS` if none does."""
        if self is NO_OPTIONS:
            return self
        names, read, _ = _readers_of(type(self))
        values = read(self)
        if values.count(None) == len(values):
            return NO_OPTIONS  # of nearly all requests
        return type(self)(**{name: value for name, value in zip(names, values, strict=True) if value is not None})

    def in_time(self: _T, timeout_s: float | None) -> _T:
        """The same, and nobody waits longer than so many seconds; None for as long as it takes."""
        return self if timeout_s is None else self._with_timeout(_whole_ms(timeout_s))

    def deadline_s(self, now_s: float) -> float:
        """When nobody waits any more, on the clock that says `now_s`; infinity if somebody always does."""
        return deadline_of(self.timeout_ms, now_s)

    def until(self: _T, deadline_s: float, now_s: float) -> _T:
        """The same with the time that is left."""
        return self if deadline_s == inf else self._with_timeout(left_ms(deadline_s, now_s))

    def _with_timeout(self: _T, timeout_ms: int | None) -> _T:
        if self.is_plain:  # in a fourth of the time of `replace`
            return type(self)(timeout_ms=timeout_ms, as_list=self.as_list)
        return replace(self, timeout_ms=timeout_ms)


NO_OPTIONS = Options()


_tables: dict[type[Options], dict[str, Option]] = {}


def table_of(kind: type[Options]) -> dict[str, Option]:
    """The table: what is known of each option, by name."""
    table = _tables.get(kind)
    if table is None:
        table = _tables[kind] = {one.name: one.metadata["option"] for one in fields(kind) if one.metadata}
    return table


class _Readers(NamedTuple):
    """The names of the options that change the answer, what reads their values, and those of all but `timeout_ms`."""

    shaping_names: tuple[str, ...]
    shaping: Callable[[Options], tuple[Any, ...]]
    beside_timeout: Callable[[Options], tuple[Any, ...]]


_readers: dict[type[Options], _Readers] = {}


def _readers_of(kind: type[Options]) -> _Readers:
    known = _readers.get(kind)
    if known is None:
        shaping = tuple(name for name, one in table_of(kind).items() if one.shapes_answer)
        others = (name for name in table_of(kind) if name != "timeout_ms")
        known = _readers[kind] = _Readers(shaping, attrgetter(*shaping), attrgetter(*others))
    return known


def _read(name: str, option: Option, value: Any) -> Any:
    """The value of an option. Raises InvalidInputValue."""
    if value is None:
        return None
    if not option.takes(value):
        raise InvalidInputValue(f"{name} must be {option.must_be}, not {quoted(value)}")
    try:
        return option.read(value)
    except ValueError as error:
        raise InvalidInputValue(f"{name}: {error}, not {quoted(value)}") from None


def deadline_of(timeout_ms: int | None, now_s: float) -> float:
    """When a `timeout_ms` is over that counts from now; infinity for None."""
    return inf if timeout_ms is None else now_s + timeout_ms / 1000


def left_ms(deadline_s: float, now_s: float) -> int | None:
    """The `timeout_ms` of what is left until then; None for infinity."""
    return None if deadline_s == inf else _whole_ms(deadline_s - now_s)


def _whole_ms(seconds: float) -> int:
    return min(max(1, int(1000 * seconds)), MAX_TIMEOUT_MS)
