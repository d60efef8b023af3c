"""What the status counts of micro-batches, and that small calls share them. How well rows are chosen: test_batcher."""

from __future__ import annotations

from typing import Any

from serving import Connect, Serve

from bert_serving.client import BertClient

LENGTHS = list(range(3, 128)) * 4
MAX_TOKENS = 1024


def counts(client: BertClient, rows: int) -> dict[str, Any]:
    """Of the one worker, once it has told the ventilator of all `rows`."""
    while True:
        for worker in client.server_status["workers"]:
            if worker["batch_rows"] == rows:
                return dict(worker)


def test_the_status_counts_what_ran(serve: Serve, connect: Connect) -> None:
    client = connect(serve(max_batch_tokens=MAX_TOKENS))
    client.encode(["x" * length for length in LENGTHS])
    worker = counts(client, len(LENGTHS))
    assert worker["tokens"] == sum(LENGTHS)
    assert sum(LENGTHS) <= worker["padded_tokens"] <= worker["batches"] * MAX_TOKENS


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
