"""Users of HTTP that ask for random texts again and again; a gateway that dies cuts their connections."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from checked_load import MOST_TEXTS, TOLERANCE

PAUSE_S = 0.1
"""After an error, before asking again."""


class HttpLoad:
    """`counts` says what became of all requests: "right", "wrong", a status, or how a connection ended."""

    def __init__(self, http_port: int, texts: Sequence[str], vectors: Any, patience_s: float) -> None:
        self._port = http_port
        self._texts = texts
        self._vectors = vectors
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def ask(self, seed: int, goes_on: Callable[[], bool]) -> None:
        """Be one user, who asks as long as `goes_on`."""
        rng = random.Random(seed)
        while goes_on():
            outcome = self._outcome(rng.choices(range(len(self._texts)), k=rng.randint(1, MOST_TEXTS)))
            with self._lock:
                self.counts[outcome] += 1
            if outcome != "right":
                time.sleep(PAUSE_S)

    def _outcome(self, chosen: list[int]) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._patience_s)
        try:
            body = json.dumps({"texts": [self._texts[number] for number in chosen]})
            connection.request("POST", "/encode", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return f"cut off: {type(error).__name__}"
        finally:
            connection.close()
        if answer.status != 200:
            return f"status {answer.status}"
        vectors, expected = np.array(json.loads(content)["results"]), self._vectors[chosen]
        is_close = vectors.shape == expected.shape and np.allclose(vectors, expected, rtol=0, atol=TOLERANCE)
        return "right" if is_close else "wrong"
