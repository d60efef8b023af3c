"""Readers of option values. Each raises ValueError with the rest of a sentence that begins with the option's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """Reads one of these names."""

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"must be one of {', '.join(names)}, not {text!r}")
        return text

    return read


def integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """Reads whole numbers of that span."""
    span = f"of at least {least}" if most is None else f"from {least} to {most}"

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"must be a whole number, not {text!r}") from None
        if value < least or (most is not None and value > most):
            raise ValueError(f"must be a whole number {span}, not {value}")
        return value

    return read


def fraction(text: str) -> float:
    """A number above 0 and up to 1."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"must be a number, not {text!r}") from None
    if not 0 < value <= 1:
        raise ValueError(f"must be above 0 and at most 1, not {text}")
    return value


def resource(text: str) -> str:
    """NAME=NUMBER, as Ray counts what a machine has."""
    kind, _, number = text.partition("=")
    if not kind or not re.fullmatch(r"\d+(\.\d+)?", number) or not float(number):
        raise ValueError(f"must be NAME=NUMBER, such as GPU=1, not {text!r}")
    return text


def sequence_length(text: str) -> int | None:
    """Of tokens; None for NONE, which leaves it open."""
    if text == "NONE":
        return None
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"must be a whole number or NONE, not {text!r}") from None
    if value <= 3:
        raise ValueError(f"must be above 3, to leave room for [CLS], [SEP] and a token, not {value}")
    return value


def readable_name(text: str) -> str:
    """One that people can read, without blanks at its ends."""
    found = text.strip()
    if not found or not found.isprintable():
        raise ValueError(f"must be a name of printable characters, not {text!r}")
    return found


def negative(text: str) -> int:
    """A layer, counted from the last one."""
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"must be a negative whole number, not {text!r}") from None
    if value >= 0:
        raise ValueError(f"layers count from the last one, which is -1, so {value} is not a layer")
    return value


port_number = integer(1, 65535)
