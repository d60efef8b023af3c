"""Clients of 1.10.0 as published that ask while processes die: legacy_load.py PORT PORT_OUT FOLDER OPTIONS

Runs in a virtual environment of its own, with that package. FOLDER holds texts.json and vectors.npy, what is asked and
what is right. OPTIONS is JSON: clients, requests (of all together), timeout_s, seed. The last line is JSON: what became
of the requests. A client of 1.10 never asks again; an error makes it raise.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import warnings
from collections import Counter
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a package from 2019
    from bert_serving.client import BertClient

PORTS: dict[str, Any] = {"port": int(sys.argv[1]), "port_out": int(sys.argv[2])}
OPTIONS = json.loads(sys.argv[4])
with open(sys.argv[3] + "/texts.json") as stream:
    TEXTS = json.load(stream)
VECTORS = np.load(sys.argv[3] + "/vectors.npy")
MOST_TEXTS = 12
MOST_CONNECTS = 50
NO_ANSWER = "no answer in time"


class Asker(threading.Thread):
    """One client; `counts` says what became of its requests."""

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self.counts: Counter[str] = Counter()
        self.slowest_s = 0.0
        self._rng = random.Random(seed)
        self._unanswered: set[int] = set()

    def run(self) -> None:
        client = self._connect()
        for _ in range(OPTIONS["requests"] // OPTIONS["clients"]):
            chosen = [self._rng.randrange(len(TEXTS)) for _ in range(self._rng.randint(1, MOST_TEXTS))]
            begin_s = time.monotonic()
            outcome = self._outcome(client, chosen)
            self.counts[outcome] += 1
            if outcome == NO_ANSWER:
                self._unanswered.add(client.request_id)
            else:
                self.slowest_s = max(self.slowest_s, time.monotonic() - begin_s)
            self._look_at_others(client)
        client.close()

    def _connect(self) -> Any:
        """It asks for the config once, which may be lost as any request."""
        for _ in range(MOST_CONNECTS):
            try:
                return BertClient(timeout=int(OPTIONS["timeout_s"] * 1000), **PORTS)
            except Exception as error:
                self.counts[f"(connect: {type(error).__name__})"] += 1
        raise SystemExit("a client of 1.10 could not connect")

    def _outcome(self, client: Any, chosen: list[int]) -> str:
        try:
            vectors = client.encode([TEXTS[number] for number in chosen])
        except TimeoutError:
            return NO_ANSWER
        except Exception as error:
            return f"an error: {type(error).__name__}"
        is_right = vectors.shape == VECTORS[chosen].shape and np.allclose(vectors, VECTORS[chosen], rtol=0, atol=1e-5)
        return "right" if is_right else "wrong"

    def _look_at_others(self, client: Any) -> None:
        """What has come that no call waits for: late answers, and second ones to what was answered."""
        for request_id in list(client.pending_response):
            del client.pending_response[request_id]
            kind = "(came after its time)" if request_id in self._unanswered else "(a second answer, left unread)"
            self.counts[kind] += 1
            self._unanswered.discard(request_id)


def main() -> None:
    askers = [Asker(OPTIONS["seed"] + number) for number in range(OPTIONS["clients"])]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    counts = sum((asker.counts for asker in askers), Counter[str]())
    print(json.dumps({"counts": counts, "slowest_s": max(asker.slowest_s for asker in askers)}))


if __name__ == "__main__":
    main()
