"""Encodes records with a client: several batches in progress, and every error assigned to its own record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bert_serving.client import BertClient, InvalidInput, RowFailed
from bert_serving.client.fingerprints import fingerprint_in, model_of
from bert_serving.server.bulk.encoding import Block, Rest, block_of, check_shape
from bert_serving.server.bulk.records import Record


class ServerEncoder:
    """See `encoding.Encoder`. Raises what the client raises, but for what a text is to blame for."""

    def __init__(self, client: BertClient, rests: Sequence[Rest], batch_size: int) -> None:
        self._client = client
        self._rests = rests
        self._batch_size = batch_size
        config = client.server_config
        self.model: str = model_of(config)
        # whoever takes its place meanwhile may have another one
        client.expect_fingerprint = fingerprint_in(config) or None
        self.shape: tuple[int, ...] = check_shape(client.encode(["hello"]).shape[1:], config)

    def blocks(self, number: int) -> Iterator[Block]:
        return _encoded(self._client, self._rests[number].read(), self._batch_size)


def _encoded(client: BertClient, records: Iterable[Record], batch_size: int) -> Iterator[Block]:
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
        yield block_of(block, outcomes, len(part.truncated))
    if taken:
        yield block_of(list(taken), [], 0)


def _blamed(client: BertClient, texts: list[str], error: Exception) -> list[Any]:
    """What happens to each text of a batch that failed with this error: a vector, or a sentence."""
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
