"""Which jobs are closed. Pure; the sink asks it, so that late rows open nothing and nothing is answered twice.

Job numbers count up, and each is closed at some time. So the closed ones are a few runs of numbers without a gap: at
most one more than there are open jobs below the newest.
"""

from __future__ import annotations

from bisect import bisect_right


class Closed:
    """A set of whole numbers, held as disjoint runs; `add` and `in`."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        """Run i holds the numbers from `starts[i]` up to, and without, `ends[i]`; two runs never touch."""

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._starts, number) - 1
        return place >= 0 and number < self._ends[place]

    def add(self, number: int) -> None:
        """This one is closed from now on."""
        if number in self:
            return
        place = bisect_right(self._starts, number)  # of a run that would begin here
        follows = place > 0 and self._ends[place - 1] == number
        precedes = place < len(self._starts) and self._starts[place] == number + 1
        if follows and precedes:
            self._ends[place - 1] = self._ends.pop(place)
            del self._starts[place]
        elif follows:
            self._ends[place - 1] = number + 1
        elif precedes:
            self._starts[place] = number
        else:
            self._starts.insert(place, number)
            self._ends.insert(place, number + 1)

    @property
    def runs(self) -> int:
        """How many there are: what it costs."""
        return len(self._starts)
