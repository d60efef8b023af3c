"""Records to vectors, by a client: batches under way side by side, and whatever is wrong blamed on its own record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bert_serving.client import BertClient, InvalidInput, RowFailed
from bert_serving.server.bulk.records import Record


@dataclass(frozen=True)
class Block:
    """Records in order. `vectors` has None for those without one, and `troubles` says why, by position."""

    records: list[Record]
    vectors: list[Any]
    troubles: dict[int, str]
    num_cut: int
    """How many texts were longer than the server's `max_seq_len`."""


def encoded(client: BertClient, records: Iterable[Record], batch_size: int) -> Iterator[Block]:
    """Every record once, in order. Raises what the client raises but for what a text is to blame for."""
    taken: deque[Record] = deque()  # read, and not out yet

    def good_texts() -> Iterator[str]:
        for record in records:
            taken.append(record)
            if record.trouble is None:
                yield record.text

    for part in client.encode_stream(good_texts(), batch_size, keep_errors=True):
        block: list[Record] = []
        texts: list[str] = []
        while len(texts) < part.count:
            block.append(record := taken.popleft())
            if record.trouble is None:
                texts.append(record.text)
        outcomes = list(part.embedding) if part.error is None else _blamed(client, texts, part.error)
        yield _block(block, outcomes, len(part.truncated))
    if taken:
        yield _block(list(taken), [], 0)


def _block(records: list[Record], outcomes: list[Any], num_cut: int) -> Block:
    """`outcomes` has a vector, or a sentence, for each record without trouble."""
    left = iter(outcomes)
    of_all = [next(left) if record.trouble is None else record.trouble for record in records]
    troubles = {place: outcome for place, outcome in enumerate(of_all) if isinstance(outcome, str)}
    return Block(records, [None if isinstance(one, str) else one for one in of_all], troubles, num_cut)


def _blamed(client: BertClient, texts: list[str], error: Exception) -> list[Any]:
    """What becomes of each text of a batch that failed with this error: a vector, or a sentence."""
    if not isinstance(error, (RowFailed, InvalidInput)):
        raise error
    if error.index is not None:
        bad = error.index
        return [*_again(client, texts[:bad]), str(error), *_again(client, texts[bad + 1 :])]
    if len(texts) == 1:
        return [str(error)]
    half = len(texts) // 2
    return [*_again(client, texts[:half]), *_again(client, texts[half:])]


def _again(client: BertClient, texts: list[str]) -> list[Any]:
    try:
        return list(client.encode(texts)) if texts else []
    except (RowFailed, InvalidInput) as error:
        return _blamed(client, texts, error)
