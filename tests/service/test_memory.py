"""What the sink holds while it puts a large answer together."""

from __future__ import annotations

from typing import Any

import pytest
from serving import Connect, Serve, pids


def peak_mb(pid: int) -> float:
    """The most memory that a process had so far."""
    with open(f"/proc/{pid}/status") as status:
        (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        pytest.param({"pooling_strategy": "NONE", "max_seq_len": None}, ["x" * (50 + n % 100) for n in range(8000)]),
        pytest.param({}, [f"text {number}" for number in range(600_000)]),
    ],
    ids=["token vectors of any length", "pooled"],
)
def test_the_sink_holds_at_most_two_and_a_half_times_what_it_sends(
    serve: Serve, connect: Connect, options: dict[str, Any], texts: list[str]
) -> None:
    server = serve(**options)
    client = connect(server)
    client.encode(["warm"])
    sink = pids(server)["sink"]
    before_mb = peak_mb(sink)
    sent_mb = client.encode(texts).nbytes / 2**20
    assert sent_mb > 15
    assert peak_mb(sink) - before_mb < 2.5 * sent_mb
