"""The contract of what encodes records: a server (`by_server`) or actors on a Ray cluster (`on_ray`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.records import Record, Source


@dataclass(frozen=True)
class Block:
    """Records in order. `vectors` has None for those without one, and `troubles` says why, by position."""

    records: list[Record]
    vectors: list[Any]
    troubles: dict[int, str]
    num_cut: int
    """How many texts were longer than `max_seq_len`."""


@dataclass(frozen=True)
class Rest:
    """What is left to do of a file: all but the first `done` records."""

    source: Source
    done: int

    def read(self) -> Iterator[Record]:
        """Those records."""
        return islice(self.source.read(), self.done, None)


class Encoder(Protocol):
    """Made for a list of `Rest`s."""

    @property
    def model(self) -> str:
        """Names the model and the options that shape the vectors."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the vector of one text, or the matrix of its tokens."""

    def blocks(self, number: int) -> Iterator[Block]:
        """Every record of one of the rests once, in order. To be called for one after the other, and exhausted."""


def block_of(records: list[Record], outcomes: list[Any], num_cut: int) -> Block:
    """`outcomes` has a vector, or a sentence, for each record without trouble."""
    left = iter(outcomes)
    of_all = [next(left) if record.trouble is None else record.trouble for record in records]
    troubles = {index: outcome for index, outcome in enumerate(of_all) if isinstance(outcome, str)}
    return Block(records, [None if isinstance(one, str) else one for one in of_all], troubles, num_cut)


def joined(blocks: Sequence[Block]) -> Block:
    """One block of several, in order."""
    troubles: dict[int, str] = {}
    start = 0
    for block in blocks:
        troubles.update({start + index: trouble for index, trouble in block.troubles.items()})
        start += len(block.records)
    records = [record for block in blocks for record in block.records]
    vectors = [vector for block in blocks for vector in block.vectors]
    return Block(records, vectors, troubles, sum(block.num_cut for block in blocks))


def check_shape(shape: tuple[int, ...], config: Mapping[str, Any]) -> tuple[int, ...]:
    """The same. Raises BulkError if it is not that of every text."""
    if len(shape) > 1 and config.get("max_seq_len") is None and not config.get("fixed_embed_length"):
        raise BulkError(
            "with -pooling_strategy NONE and -max_seq_len NONE each text has a different number of vectors, "
            "which do not fit one array: set -max_seq_len to a number, or add -fixed_embed_length"
        )
    return shape
