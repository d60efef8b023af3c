"""What each step of the service takes, in seconds of a core, as measured on one machine. Pure data with its JSON.

`calibration.py` measures the costs; the simulation spends them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bert_serving.server.engine.micro_batch import common_shape
from bert_serving.server.engine.packing import listed


@dataclass(frozen=True, slots=True)
class ComputeCost:
    """A micro-batch costs something whatever is in it, then by its tokens in a list, then by pairs in attention.

    Both are those of the shape that the engine gives it. `longest` is the most tokens of a row. `beside` is what each
    lane that is busy on the same machine adds, as a share.
    """

    batch_s: float
    token_s: float
    pair_s: float
    beside: float
    longest: int

    def run_s(self, lengths: Sequence[int], others: int) -> float:
        """Of a micro-batch of rows of these lengths, while `others` lanes are busy beside it; on the average."""
        tokens, pairs = self.sizes(lengths, self.longest)
        return (self.batch_s + self.token_s * tokens + self.pair_s * pairs) * (1 + self.beside * others)

    @staticmethod
    def sizes(lengths: Sequence[int], longest: int) -> tuple[int, int]:
        """Tokens in the list, and pairs in attention, padding included."""
        rows, row_tokens = common_shape(len(lengths), max(lengths), longest)
        return listed(sum(lengths)), rows * row_tokens**2


@dataclass(frozen=True, slots=True)
class InOutCost:
    """Of a worker's I/O thread: of a part that comes in and of a micro-batch that is ready, of rows and of tokens."""

    message_s: float
    row_s: float
    token_s: float

    def take_s(self, lengths: Sequence[int]) -> float:
        """To make features of a part of these rows. To send on what a micro-batch completes costs the message alone."""
        return self.message_s + self.row_s * len(lengths) + self.token_s * sum(lengths)


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
    """Of waking up, of each message of rows, of each row, and of each answer."""

    wake_s: float
    message_s: float
    row_s: float
    answer_s: float


@dataclass(frozen=True, slots=True)
class ClientCost:
    """Of each request and each row, half of it to ask: the client, and the threads of ZeroMQ in all processes.

    It counts where clients run on the machine of the service.
    """

    request_s: float
    row_s: float

    def half_s(self, rows: int) -> float:
        return (self.request_s + self.row_s * rows) / 2


@dataclass(frozen=True, slots=True)
class Costs:
    """All of them. `hop_s` is how long a message takes from one process to the next, beside what the two spend on it.

    `swings` are the speeds that the machine had, one for each `machine.SWING_S`, beside what it had on the average.
    `lengths` are the tokens of the texts that they were measured with, for traces. `about` says where and how.
    """

    compute: ComputeCost
    in_out: InOutCost
    ventilator: VentilatorCost
    sink: SinkCost
    client: ClientCost
    hop_s: float
    swings: tuple[float, ...]
    lengths: tuple[int, ...]
    about: Mapping[str, Any]

    def to_json(self) -> str:
        content = asdict(self)
        long = {name: content.pop(name) for name in ("swings", "lengths")}  # thousands: not one a line
        lines = "".join(f',\n "{name}": {json.dumps(values)}' for name, values in long.items())
        return json.dumps(content, indent=1).removesuffix("\n}") + lines + "\n}\n"

    @staticmethod
    def from_json(text: str) -> Costs:
        """What `to_json` wrote. Raises ValueError, TypeError or KeyError for anything else."""
        content = json.loads(text)
        return Costs(
            ComputeCost(**content["compute"]),
            InOutCost(**content["in_out"]),
            VentilatorCost(**content["ventilator"]),
            SinkCost(**content["sink"]),
            ClientCost(**content["client"]),
            float(content["hop_s"]),
            tuple(content["swings"]),
            tuple(content["lengths"]),
            content["about"],
        )
