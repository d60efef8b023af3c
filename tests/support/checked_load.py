"""Clients that ask for random texts again and again, and compare each answer with what was computed in quiet."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bert_serving.client import BertClient, BertServingError

MOST_TEXTS = 12
TOLERANCE = 1e-5


class CheckedLoad:
    """`counts` says what became of all requests: "right", "wrong", or "lost" and why. `vectors` are those of `texts`.

    A request that is not answered within `patience_s` is lost.
    """

    def __init__(self, ports: dict[str, Any], texts: Sequence[str], vectors: Any, patience_s: float) -> None:
        self._ports = ports
        self._texts = texts
        self._vectors = vectors
        self._patience_ms = int(patience_s * 1000)
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.slowest_s = 0.0

    def ask(self, seed: int, goes_on: Callable[[], bool]) -> None:
        """Be one client, which asks as long as `goes_on`."""
        rng = random.Random(seed)
        with BertClient(timeout=self._patience_ms, connect_timeout=60_000, **self._ports) as client:
            while goes_on():
                chosen = rng.choices(range(len(self._texts)), k=rng.randint(1, MOST_TEXTS))
                begin_s = time.monotonic()
                outcome = self._outcome(client, chosen)
                with self._lock:
                    self.counts[outcome] += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - begin_s)

    def _outcome(self, client: BertClient, chosen: list[int]) -> str:
        try:
            vectors = client.encode([self._texts[number] for number in chosen])
        except BertServingError as error:
            return f"lost: {type(error).__name__}: {error}"
        expected = self._vectors[chosen]
        is_close = vectors.shape == expected.shape and np.allclose(vectors, expected, rtol=0, atol=TOLERANCE)
        return "right" if is_close else "wrong"
