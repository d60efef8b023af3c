"""The load on a server that speaks HTTP: this one, or one that takes OpenAI's embeddings in the same way.

    python -m compare.load_http PORT PATH MODEL TEXTS.json

See `protocol` for how it is asked, and `load` for the same by ZeroMQ. Rates are in texts a second.
"""

from __future__ import annotations

import base64
import http.client
import json
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from compare.protocol import serve, texts_of, timed

TIMEOUT_S = 900
OCTETS = "application/octet-stream"


class HttpLoad:
    """Each client has a connection that it keeps."""

    def __init__(self, port: int, path: str, model: str, texts: list[str]) -> None:
        self._port = port
        self._path = path
        self._model = model
        self._texts = texts

    def warm_up(self, count: int, save: str = "") -> dict[str, Any]:
        """Some of everything; the vectors of `count` texts go to a file if one is named."""
        client = self._client()
        self._ask(client, self._texts[:1])
        answer = json.loads(self._ask(client, self._texts[:count]))
        if save:
            rows = [base64.b64decode(one["embedding"]) for one in answer["data"]]
            np.save(save, np.stack([np.frombuffer(row, "<f4") for row in rows]))
        return {}

    def many(self, clients: int, calls: int) -> dict[str, Any]:
        """Many clients at once, one text a call each."""

        def run(number: int) -> None:
            client = self._client()
            for call in range(calls):
                self._ask(client, [self._texts[(number * calls + call) % len(self._texts)]])
            client.close()

        with ThreadPoolExecutor(clients) as threads:
            whole_s = timed(lambda: list(threads.map(run, range(clients))))
        return {"rate": clients * calls / whole_s}

    def bulks(self, count: int, calls: int, octets: bool = False) -> dict[str, Any]:
        """One call of `count` texts after the other, by one client; the rate of the median one."""
        client = self._client()
        ask = self._ask_octets if octets else self._ask
        took = [timed(partial(ask, client, self._texts[:count])) for _ in range(calls)]
        client.close()
        return {"rate": count / statistics.median(took)}

    def _client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)

    def _ask(self, client: http.client.HTTPConnection, texts: list[str]) -> bytes:
        return _post(client, self._path, {"input": texts, "model": self._model, "encoding_format": "base64"}, {})

    def _ask_octets(self, client: http.client.HTTPConnection, texts: list[str]) -> bytes:
        return _post(client, "/encode", {"texts": texts}, {"Accept": OCTETS})


def _post(client: http.client.HTTPConnection, path: str, body: dict[str, Any], headers: dict[str, str]) -> bytes:
    client.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = client.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}: {content[:200]!r}")
    return content


def main() -> None:
    port, path, model, texts = sys.argv[1:]
    load = HttpLoad(int(port), path, model, texts_of(texts))
    serve({"warm_up": load.warm_up, "many": load.many, "bulks": load.bulks})


if __name__ == "__main__":
    main()
