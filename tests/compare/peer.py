"""What the in-process engines share: texts in, one mean vector a text out, in the way that suits such an engine best.

All texts are tokenized first, sorted by their number of tokens and run in batches of 32. Runs in the peers' own
environments, which have `numpy` and `tokenizers`. The tokenizer is what `peer_inputs` wrote.
"""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from compare.protocol import serve, texts_of, timed
from compare.texts import sentences

Array = np.ndarray[Any, Any]
Forward = Callable[[Array, Array], Array]
"""Token ids and mask, int64 `[B, T]` each, to the last layer, float32 `[B, T, H]`.

That is all of its inputs: positions are the model's own work, and so are types where it has some, 0 for a lone text.
"""

BATCH = 32


class Peer:
    """One engine; each of its `kinds` is a numeric type that it computes in."""

    def __init__(self, kinds: Mapping[str, Forward], tokenizer: str, texts: list[str]) -> None:
        self._kinds = kinds
        self._texts = texts
        self._short = sentences(texts)
        self._tokenizer: Any = importlib.import_module("tokenizers").Tokenizer.from_file(tokenizer)
        self._padding: int = self._tokenizer.padding["pad_id"]
        self._tokenizer.no_padding()

    def warm_up(self, kind: str) -> dict[str, Any]:
        """A short sentence first, as a server that has just started."""
        self._vectors(kind, self._short[:1])
        return {}

    def bulk(self, kind: str, start: int, stop: int, step: int, save: str = "") -> dict[str, Any]:
        """Every `step`th text of a span; the vectors go to a file if one is named."""
        texts = self._texts[start:stop:step]
        vectors: list[Array] = []
        took_s = timed(lambda: vectors.append(self._vectors(kind, texts)))
        if save:
            np.save(save, vectors[0])
        return {"rate": len(texts) / took_s}

    def single(self, kind: str, calls: int) -> dict[str, Any]:
        """One sentence a call."""
        took = []
        for number in range(calls):
            text = self._short[number % len(self._short)]
            took.append(timed(partial(self._vectors, kind, [text])))
        return {"p50_ms": statistics.median(took) * 1e3}

    def _vectors(self, kind: str, texts: list[str]) -> Array:
        forward = self._kinds[kind]
        rows: list[list[int]] = [encoded.ids for encoded in self._tokenizer.encode_batch(texts)]
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
        vectors: list[Array] = []
        for first in range(0, len(order), BATCH):
            ids, mask = padded([rows[index] for index in order[first : first + BATCH]], self._padding)
            vectors.append(mean(forward(ids, mask), mask))
        result = np.concatenate(vectors)
        result[order] = result.copy()
        return result


def padded(rows: list[list[int]], padding: int) -> tuple[Array, Array]:
    """Ids and mask, `[B, T]` each; `padding` is the id that fills up."""
    longest = max(map(len, rows))
    mask = (np.arange(longest) < np.array([len(row) for row in rows])[:, None]).astype(np.int64)
    ids = np.full_like(mask, padding)
    ids[mask == 1] = np.concatenate(rows)
    return ids, mask


def mean(layer: Array, mask: Array) -> Array:
    """The mean over a row's tokens: `[B, T, H]` to `[B, H]`."""
    weights = mask.astype(np.float32)
    sums: Array = (weights[:, None, :] @ layer)[:, 0]
    sums /= weights.sum(1, keepdims=True)
    return sums


def run(kinds: Mapping[str, Forward], tokenizer: str, texts: str) -> None:
    """Serve the comparison until it is done."""
    peer = Peer(kinds, tokenizer, texts_of(texts))
    serve({"warm_up": peer.warm_up, "bulk": peer.bulk, "single": peer.single})
