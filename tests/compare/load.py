"""The load on a server, made by the `bert_serving.client` of the environment that this runs in: 1.10 or ours.

    python -m compare.load PORT PORT_OUT TEXTS.json

See `protocol` for how it is asked. Rates are in texts a second, times in milliseconds.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np

from bert_serving.client import BertClient
from compare import sources
from compare.protocol import serve, texts_of, timed
from compare.texts import ranking, sentences

PAUSE_S = 0.05
"""Between two sentences beside a bulk client: a person or a search box, not a loop."""

TIMEOUT_MS = 900_000


class Load:
    """Opens clients of one server and times what they do."""

    def __init__(self, port: int, port_out: int, texts: list[str]) -> None:
        self._ports: dict[str, Any] = {"port": port, "port_out": port_out}
        self._texts = texts
        self._short = sentences(texts)

    def _client(self) -> Any:
        return BertClient(check_version=False, check_length=False, timeout=TIMEOUT_MS, **self._ports)

    def warm_up(self, count: int) -> dict[str, Any]:
        """Some of everything, so that no contestant is measured on its first batch."""
        with self._client() as client:
            client.encode(self._texts[:count])
            client.encode(self._short[:1])
        return {}

    def bulk(self, count: int, save: str = "", asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One big call, with what else is asked of it; its vectors go to a file if one is named."""
        with self._client() as client:
            begin = time.perf_counter()
            vectors = client.encode(self._texts[:count], **(asked or {}))
            took_s = time.perf_counter() - begin
        if save:
            np.save(save, np.asarray(vectors, np.float32))
        return {"rate": count / took_s}

    def bulks(self, count: int, calls: int) -> dict[str, Any]:
        """One big call after the other by one client; the rate of the median one."""
        with self._client() as client:
            took = [timed(partial(client.encode, self._texts[:count])) for _ in range(calls)]
        return {"rate": count / statistics.median(took)}

    def single(self, calls: int) -> dict[str, Any]:
        """One sentence a call, nobody else there."""
        with self._client() as client:
            took = [timed(partial(client.encode, [text])) for text in self._some(0, calls)]
        return {"p50_ms": statistics.median(took) * 1e3}

    def many(self, clients: int, calls: int) -> dict[str, Any]:
        """Many clients at once, one sentence a call each."""
        took: list[float] = []

        def run(client: Any, first: int) -> None:
            for text in self._some(first, calls):
                took.append(timed(partial(client.encode, [text])))

        with ExitStack() as opened:
            members = [opened.enter_context(self._client()) for _ in range(clients)]
            actions = [partial(run, client, number * calls) for number, client in enumerate(members)]
            whole_s = timed(partial(_side_by_side, actions))
        if len(took) < clients * calls:
            raise RuntimeError(f"only {len(took)} of {clients * calls} calls were answered")
        return {"rate": len(took) / whole_s, "p50_ms": statistics.median(took) * 1e3}

    def ranked(self, number: int) -> dict[str, Any]:
        """What the server's cross-encoder makes of one ranking."""
        with self._client() as client:
            return {"hits": client.rank(*ranking(self._texts, number))}

    def rank(self, calls: int) -> dict[str, Any]:
        """One ranking a call, each of other documents."""
        asked = [ranking(self._texts, number) for number in range(calls)]
        with self._client() as client:
            took = [timed(partial(client.rank, *one)) for one in asked]
        return {"mean_ms": statistics.mean(took) * 1e3}

    def mixed(self, calls: int, bulk: int) -> dict[str, Any]:
        """One sentence a call, beside a client that sends one big call after the other."""
        with self._busy(bulk), self._client() as client:
            time.sleep(1)
            took = []
            for text in self._some(0, calls):
                took.append(timed(partial(client.encode, [text])))
                time.sleep(PAUSE_S)
        return {"p50_ms": statistics.median(took) * 1e3}

    @contextmanager
    def _busy(self, count: int) -> Iterator[None]:
        done = threading.Event()

        def keep_busy() -> None:
            with self._client() as client:
                while not done.is_set():
                    client.encode(self._texts[:count])

        thread = threading.Thread(target=keep_busy)
        thread.start()
        try:
            yield
            if not thread.is_alive():
                raise RuntimeError("the bulk client ended before its time")
        finally:
            done.set()
            thread.join()

    def _some(self, first: int, count: int) -> list[str]:
        return [self._short[(first + number) % len(self._short)] for number in range(count)]


def _side_by_side(actions: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    sources.check(sources.CLIENT)
    load = Load(int(sys.argv[1]), int(sys.argv[2]), texts_of(sys.argv[3]))
    names = ("warm_up", "bulk", "bulks", "single", "many", "mixed", "ranked", "rank")
    serve({name: getattr(load, name) for name in names})


if __name__ == "__main__":
    main()
