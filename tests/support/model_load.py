"""HTTP requests of several threads for one model, each answer compared with what the fake engine gives."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
from fake_engine import OTHER, expected, fingerprint_of
from serving import fake_config, wait_until

ASKING = 4
"""Threads that ask all the time."""


class Load:
    """Answers to requests of several threads, by fingerprint; each was right for the model that it says."""

    def __init__(self, http: httpx.Client, model: str, expect: str | None = None) -> None:
        self._http = http
        self._model = model
        self._headers = {} if expect is None else {"X-Expect-Fingerprint": expect}
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._is_over = threading.Event()

    def _ask(self, number: int) -> None:
        while not self._is_over.is_set():
            text = f"{number} {sum(self.counts.values())}"
            body = {"texts": [text] * (1 + number), "model": self._model}
            try:
                answer = self._http.post("/encode", json=body, headers=self._headers)
            except httpx.HTTPError as error:
                self.faults.append(repr(error))
                continue
            if answer.status_code != 200:
                self.faults.append(answer.text)
                continue
            found = answer.headers["X-Fingerprint"]
            sign = -1 if found == fingerprint_of(fake_config(model_dir=OTHER)) else 1
            if not np.allclose(answer.json()["results"], sign * expected([text] * (1 + number)), rtol=1e-6):
                self.faults.append(f"{found} gave {answer.text}")
            self.counts[found] += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(ASKING) as pool:
            asking = [pool.submit(self._ask, number) for number in range(ASKING)]
            try:
                yield
            finally:
                self._is_over.set()
            for one in asking:
                one.result()
        assert not self.faults, self.faults[:3]

    def wait_for(self, number: int) -> Counter[str]:
        """What so many answers more are of."""
        before = Counter(self.counts)
        wait_until(lambda: bool(self.faults) or sum((self.counts - before).values()) >= number)
        return self.counts - before
