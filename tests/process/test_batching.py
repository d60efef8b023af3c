"""A guard against slow batching that needs no clock: micro-batches and padding for a fixed workload."""

from __future__ import annotations

from typing import Any

import numpy as np
from serving import Connect, Serve

from bert_serving.client import BertClient

LENGTHS = np.random.default_rng(5).gamma(1.5, 25, 2000).clip(3, 128).astype(int)
MAX_TOKENS = 1024


def counts(client: BertClient, rows: int) -> dict[str, Any]:
    """Of the one worker, once it has told the ventilator of all `rows`."""
    while True:
        for worker in client.server_status["workers"]:
            if worker["batch_rows"] == rows:
                return dict(worker)


def test_a_large_call_runs_in_few_batches_with_little_padding(serve: Serve, connect: Connect) -> None:
    client = connect(serve(max_batch_tokens=MAX_TOKENS))
    client.encode(["x" * length for length in LENGTHS])
    worker = counts(client, len(LENGTHS))
    assert worker["tokens"] == LENGTHS.sum()
    assert worker["padded_tokens"] <= 1.10 * worker["tokens"]  # in order of arrival it is more than 2
    assert worker["batches"] <= 1.5 * LENGTHS.sum() / MAX_TOKENS


def test_small_calls_of_many_clients_share_batches(serve: Serve, connect: Connect) -> None:
    server = serve(max_batch_tokens=MAX_TOKENS)
    clients = [connect(server) for _ in range(32)]
    for client in clients:
        client.encode(["!slow 0.05"], blocking=False)  # keeps the lanes busy while the others arrive
        for number in range(8):
            client.encode([f"text {number}"], blocking=False)
    for client in clients:
        assert len(client.fetch_all() or []) == 9
    worker = counts(clients[0], 32 * 9)
    assert worker["batches"] < 32 * 9 / 4
