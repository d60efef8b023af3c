"""What HTTP costs over ZeroMQ, on one server in one run.

    PYTHONPATH=tests:tests/support python -m compare.http_overhead --model DIR

Two loads, each by ZeroMQ and by each HTTP format in turns: one client with 256 texts a call, and 64 clients with one
text a call. The table gives the median of the rounds and how often as long HTTP takes as ZeroMQ.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from command import Command

from bert_serving.client import AsyncBertClient
from compare.texts import passages

BULK_ROWS = 256
CLIENTS = 64
CALLS = 4
"""Of each of the 64 clients in one round."""
FORMATS: dict[str, tuple[str, str, dict[str, Any], dict[str, str]]] = {
    "HTTP, JSON": ("/encode", "texts", {}, {}),
    "HTTP, octets": ("/encode", "texts", {}, {"Accept": "application/octet-stream"}),
    "HTTP, OpenAI base64": ("/v1/embeddings", "input", {"encoding_format": "base64"}, {}),
}
Ask = Callable[[list[str]], Awaitable[Any]]


def by_http(http: httpx.AsyncClient, name: str) -> Ask:
    path, field, more, headers = FORMATS[name]

    async def ask(texts: list[str]) -> None:
        answer = await http.post(path, json={field: texts, **more}, headers=headers)
        answer.raise_for_status()

    return ask


async def bulk(ask: list[Ask], texts: list[str]) -> float:
    begin_s = time.perf_counter()
    await ask[0](texts[:BULK_ROWS])
    return time.perf_counter() - begin_s


async def many(ask: list[Ask], texts: list[str]) -> float:
    async def one(number: int) -> None:
        for call in range(CALLS):
            await ask[number % len(ask)]([texts[(number * CALLS + call) % len(texts)]])

    begin_s = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(CLIENTS)))
    return time.perf_counter() - begin_s


async def measure(server: Command, rounds: int) -> None:
    texts = passages()
    limits = httpx.Limits(max_connections=CLIENTS)
    where = f"http://127.0.0.1:{server.http_port}"
    async with httpx.AsyncClient(base_url=where, timeout=600, limits=limits) as http:
        clients = [await AsyncBertClient.connect(**server.ports, check_length=False) for _ in range(CLIENTS)]
        asks: dict[str, list[Ask]] = {"ZeroMQ": [client.encode for client in clients]}
        asks |= {name: [by_http(http, name)] for name in FORMATS}
        for load, name_of_load in ((bulk, f"1 x {BULK_ROWS} texts"), (many, f"{CLIENTS} clients x 1 text")):
            took_s: dict[str, list[float]] = {name: [] for name in asks}
            for turn in range(rounds + 1):  # the first one warms up
                for name, ask in asks.items():
                    round_s = await load(ask, texts)
                    if turn:
                        took_s[name].append(round_s)
            whole = statistics.median(took_s["ZeroMQ"])
            for name, times_s in took_s.items():
                middle = statistics.median(times_s)
                print(f"{name_of_load:>22}  {name:<20} {1000 * middle:8.1f} ms  {middle / whole:5.2f}", flush=True)
        for client in clients:
            await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="What HTTP costs over ZeroMQ.")
    parser.add_argument("--model", required=True, help="folder of the model")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    arguments = [
        "-model_dir",
        options.model,
        "-cpu",
        "-max_seq_len",
        "64",
        "-http_port",
        "1",
        "-http_max_connect",
        "64",
    ]
    with Command(*arguments) as server:
        server.wait_until_ready()
        threading.Thread(target=server.wait_for_end, args=(86_400,), daemon=True).start()
        asyncio.run(measure(server, options.rounds))


if __name__ == "__main__":
    main()
