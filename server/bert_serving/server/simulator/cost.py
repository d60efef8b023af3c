"""What each step of the service takes, in seconds, as measured on one machine. Pure data with its JSON.

`calibration.py` measures the costs; the simulation spends them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class ComputeCost:
    """A worker's: a micro-batch costs something whatever is in it, then by its tokens, then by pairs in attention.

    Dense layers run on packed tokens, so padding costs in attention alone, where a row takes the square of the
    longest row's length. `beside` is what each lane that is busy on the same machine adds, as a share.
    """

    batch_s: float
    token_s: float
    pair_s: float
    beside: float
    tokenize_token_s: float
    tokenize_part_s: float

    def run_s(self, lengths: Sequence[int], others: int) -> float:
        """Of a micro-batch of rows of these lengths, while `others` lanes are busy beside it."""
        alone_s = self.batch_s + self.token_s * sum(lengths) + self.pair_s * len(lengths) * max(lengths) ** 2
        return alone_s * (1 + self.beside * others)

    def tokenize_s(self, lengths: Sequence[int]) -> float:
        """Of a part of these rows."""
        return self.tokenize_part_s + self.tokenize_token_s * sum(lengths)


@dataclass(frozen=True, slots=True)
class VentilatorCost:
    """Of a turn of the loop and of each message. `.._worker_s` grow with the workers that are connected.

    A loop that had nothing to do needs `wake_s` more, for the system and for what its caches have lost.

    For each part that it hands out the scheduler looks at each worker and at each part that one has (`choose_..`), and
    once more to find that no other has room. Those that have room it ranks (`rank_..`): for an urgent part all of them,
    for a bulk part, while others wait, just the one that has finished something. It looks at each worker to confirm a
    part.
    """

    wake_s: float
    turn_s: float
    turn_worker_s: float
    request_s: float
    request_row_s: float
    part_s: float
    part_row_s: float
    choose_worker_s: float
    choose_ticket_s: float
    rank_worker_s: float
    rank_ticket_s: float
    done_s: float
    received_s: float
    delivered_s: float
    confirm_worker_s: float

    def turn(self, workers: int) -> float:
        return self.turn_s + self.turn_worker_s * workers

    def request(self, rows: int) -> float:
        return self.request_s + self.request_row_s * rows

    def choose(self, workers: int, tickets: int) -> float:
        """To find the workers with room for a part; `tickets` are in flight at all workers together."""
        return self.choose_worker_s * workers + self.choose_ticket_s * tickets

    def rank(self, workers: int, tickets: int) -> float:
        """To find the best of them, if all have room."""
        return self.rank_worker_s * workers + self.rank_ticket_s * tickets

    def part(self, rows: int) -> float:
        """To send a part to a worker that was chosen."""
        return self.part_s + self.part_row_s * rows

    def received(self, workers: int) -> float:
        return self.received_s + self.confirm_worker_s * workers

    def delivered(self, workers: int, parts: int) -> float:
        return self.delivered_s + self.confirm_worker_s * workers * parts

    def flat(self) -> VentilatorCost:
        """What it would be if a step took as long with a thousand workers as with one."""
        growing = [name for name in self.__slots__ if name.endswith(("_worker_s", "_ticket_s"))]
        return replace(self, **dict.fromkeys(growing, 0.0))


@dataclass(frozen=True, slots=True)
class SinkCost:
    """Of each message of rows, of each row, and of each answer."""

    message_s: float
    row_s: float
    answer_s: float


@dataclass(frozen=True, slots=True)
class Costs:
    """All of them. `hop_s` is how long a message takes from one process to the next, beside what the two spend on it.

    `lengths` are the tokens of the texts that they were measured with, for traces. `about` says where and how.
    """

    compute: ComputeCost
    ventilator: VentilatorCost
    sink: SinkCost
    hop_s: float
    lengths: tuple[int, ...]
    about: Mapping[str, Any]

    def to_json(self) -> str:
        content = asdict(self)
        lengths = json.dumps(content.pop("lengths"))  # thousands: not one a line
        return json.dumps({**content, "lengths": None}, indent=1).replace("null", lengths) + "\n"

    @staticmethod
    def from_json(text: str) -> Costs:
        """What `to_json` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        content = json.loads(text)
        return Costs(
            ComputeCost(**content["compute"]),
            VentilatorCost(**content["ventilator"]),
            SinkCost(**content["sink"]),
            float(content["hop_s"]),
            tuple(content["lengths"]),
            content["about"],
        )
