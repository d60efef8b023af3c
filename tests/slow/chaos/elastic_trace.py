"""Workers that come and go with the load: every answer is checked, and the trace drawn. For `make chaos`.

    python tests/slow/chaos/elastic_trace.py elastic.png

The engine is a fake one that takes 50 ms for each text, so that many workers fit on a small machine. Requests of 20
texts come at random times, little by little, then five times what one worker can do, then little again. The exit status
is 1 if one request was lost or wrong, or if workers did not come or did not go again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from fake_engine import expected
from serving import fake_config, ports_of

from bert_serving.client import AsyncBertClient
from bert_serving.server import BertServer
from bert_serving.server.benchmark.figures import percentile
from bert_serving.server.version import __version__

TEXT_S = 0.05
TEXTS = 20
PHASES = ((15.0, 0.5), (40.0, 5.0), (45.0, 0.3))
"""Each so many seconds, with so many requests a second; one worker can do one a second."""
OPTIONS = {"num_worker": 1, "max_worker": 8, "scale_up_wait": 2, "scale_down_idle": 10}
SAMPLE_S = 0.25


@dataclass
class Trace:
    """What was seen, in seconds since the beginning."""

    samples: list[tuple[float, int, int, float]] = field(default_factory=list)  # when, ready, other workers, wait
    asked_s: list[float] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)  # when it was asked, how long it took
    wrong: int = 0

    @property
    def lost(self) -> int:
        return len(self.asked_s) - len(self.latencies)


def arrivals(seed: int) -> list[float]:
    """Times of a Poisson process through all phases."""
    rng = random.Random(seed)
    times, begin_s = [], 0.0
    for length_s, rate in PHASES:
        at_s = begin_s + rng.expovariate(rate)
        while at_s < begin_s + length_s:
            times.append(at_s)
            at_s += rng.expovariate(rate)
        begin_s += length_s
    return times


async def record(server: BertServer, times: Sequence[float]) -> Trace:
    """Ask at these times, and watch."""
    trace, begin_s = Trace(), time.monotonic()
    where = ports_of(server)

    async def ask(client: AsyncBertClient, number: int, at_s: float) -> None:
        await asyncio.sleep(begin_s + at_s - time.monotonic())
        texts = [f"!slow {TEXT_S} {number} {row}" for row in range(TEXTS)]
        trace.asked_s.append(at_s)
        vectors = await client.encode(texts)
        trace.latencies.append((at_s, time.monotonic() - begin_s - at_s))
        trace.wrong += not np.array_equal(vectors, expected(texts))

    async def watch(client: AsyncBertClient) -> None:
        while True:
            status = await client.server_status()
            states = [p["state"] for p in status["processes"] if p["name"].startswith("worker-")]
            ready = states.count("ready")
            now_s = time.monotonic() - begin_s
            trace.samples.append((now_s, ready, len(states) - ready, status["queue"]["wait_s"]))
            await asyncio.sleep(SAMPLE_S)

    async with AsyncBertClient(**where) as client, AsyncBertClient(**where) as watcher:
        watching = asyncio.create_task(watch(watcher))
        await asyncio.gather(*(ask(client, number, at_s) for number, at_s in enumerate(times)))
        await asyncio.sleep(max(0.0, begin_s + sum(length_s for length_s, _ in PHASES) - time.monotonic()))
        watching.cancel()
    return trace


def draw(trace: Trace, path: Path) -> None:
    """Load, workers and waiting, one above the other."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    with pyplot.rc_context({"font.size": 11, "savefig.facecolor": "white"}):
        figure, (load, workers, wait) = pyplot.subplots(3, 1, figsize=(9, 8), sharex=True, layout="constrained")
        end_s = sum(length_s for length_s, _ in PHASES)
        finished_s = [at_s + took_s for at_s, took_s in trace.latencies]
        bins = np.arange(0.0, end_s + 5, 2.5)
        for times, name, color in ((trace.asked_s, "asked", "#D55E00"), (finished_s, "answered", "#0072B2")):
            counts, _ = np.histogram(times, bins)
            load.step(bins[:-1], counts * TEXTS / 2.5, where="post", label=name, color=color)
        load.set(ylabel="texts/s", title="A burst of work, -num_worker 1 -max_worker 8 -scale_up_wait 2")
        at_s, ready, others, waits_s = (np.array(column) for column in zip(*trace.samples, strict=True))
        workers.step(at_s, ready, where="post", label="ready", color="#009E73")
        workers.step(at_s, ready + others, where="post", ls=":", label="ready, starting or stopping", color="#222222")
        workers.set(ylabel="workers", ylim=(0, OPTIONS["max_worker"] + 0.5))
        wait.step(at_s, waits_s, where="post", label="predicted wait", color="#CC79A7")
        took_s = [one for _, one in trace.latencies]
        taken = f"a request took (p50 {percentile(took_s, 50):.1f} s, p99 {percentile(took_s, 99):.1f} s)"
        wait.plot(*zip(*trace.latencies, strict=True), ".", label=taken, color="#0072B2", ms=4)
        wait.axhline(OPTIONS["scale_up_wait"], color="#777777", ls="--", lw=1, label="-scale_up_wait")
        wait.set(ylabel="seconds", xlabel="seconds since the start", ylim=0)
        for axis in (load, workers, wait):
            axis.legend(frameon=False, loc="upper right")
            axis.grid(color="#E5E5E5")
        made = f"measured {date.today().isoformat()}  ·  a fake engine, {TEXT_S * 1000:.0f} ms a text"
        figure.supxlabel(f"bert-as-service {__version__}  ·  {made}", fontsize=9, color="#555555")
        figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description="Let workers come and go with the load, and draw the trace.")
    parser.add_argument("output", type=Path, help="PNG file for the trace")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with BertServer(fake_config(max_batch_size=TEXTS, **OPTIONS)) as server:
        trace = asyncio.run(record(server, arrivals(options.seed)))
    draw(trace, options.output)
    most = max(ready for _, ready, _, _ in trace.samples)
    last = trace.samples[-1][1]
    took_s = sorted(took_s for _, took_s in trace.latencies)
    print(f"{len(trace.asked_s)} requests: {trace.lost} lost, {trace.wrong} wrong; workers 1, {most}, {last}")
    print(f"a request took {took_s[len(took_s) // 2]:.1f} s (median), {took_s[-1]:.1f} s at most")
    sys.exit(0 if not trace.lost and not trace.wrong and most > 4 and last == 1 else 1)


if __name__ == "__main__":
    main()
