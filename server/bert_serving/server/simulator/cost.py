"""What each step of the service takes, in seconds, as measured on one machine. Pure data with its JSON.

`calibration.py` measures the costs; the simulation spends them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
    """Of a turn of the loop and of each message; none grows with the workers.

    A loop that had nothing to do needs `wake_s` more, for the system and for what its caches have lost. `choose_s` is
    what the scheduler takes to hand out a part, or to find that no worker has room for it.
    """

    wake_s: float
    turn_s: float
    request_s: float
    request_row_s: float
    choose_s: float
    part_s: float
    part_row_s: float
    done_s: float
    received_s: float
    delivered_s: float

    def request(self, rows: int) -> float:
        return self.request_s + self.request_row_s * rows

    def part(self, rows: int) -> float:
        """To choose a worker for a part, and to send it there."""
        return self.choose_s + self.part_s + self.part_row_s * rows


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
