"""Addresses whose connections did harm of late: new ones from there are not taken for a moment. Pure.

The library does all that a connection sends before anybody can look at it, and looks through the names of all when one
ends. So who opens one connection after another, each to be ended for what it does, would take all of its time. The
connections that an address has stay: those who behave are not held up, whoever else has their address.
"""

from __future__ import annotations

from collections import OrderedDict

PENALTY_S = 5.0
MOST_ADDRESSES = 10_000
"""That are remembered; the one that did harm first is forgotten first."""
IN_VAIN_PER_S = 200.0
MOST_IN_VAIN = 1_000.0
"""So many connections in a row, and so many more each second, may end without having said anything.
The same number of messages may be malformed."""


class Penalties:
    """By address."""

    def __init__(self) -> None:
        self._until_s: OrderedDict[str, float] = OrderedDict()
        self._in_vain: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """How many of late, and as of when."""

    def __contains__(self, address: str) -> bool:
        return address in self._until_s

    def harm(self, address: str, now_s: float) -> None:
        """A connection from there was ended for what it did; nothing follows where the address is not known."""
        if not address:
            return
        self._until_s[address] = now_s + PENALTY_S
        self._until_s.move_to_end(address)
        if len(self._until_s) > MOST_ADDRESSES:
            self._until_s.popitem(last=False)

    def in_vain(self, address: str, now_s: float) -> bool:
        """One from there ended that had said nothing, or a message was malformed; returns whether that does harm."""
        number, since_s = self._in_vain.pop(address, (0.0, now_s))
        number = max(0.0, number - IN_VAIN_PER_S * (now_s - since_s)) + 1
        self._in_vain[address] = number, now_s
        if len(self._in_vain) > MOST_ADDRESSES:
            self._in_vain.popitem(last=False)
        if number > MOST_IN_VAIN:
            self.harm(address, now_s)
        return number > MOST_IN_VAIN

    def expire(self, now_s: float) -> None:
        """Forgive those whose time is over."""
        while self._until_s and (first := next(iter(self._until_s.items())))[1] <= now_s:
            del self._until_s[first[0]]
