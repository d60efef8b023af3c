"""Simulations as PNG pictures, by matplotlib: one over the number of workers, and two for each run looked at closely.

Every picture carries a stamp: the version, and the day it was made. Colours are those of Okabe and Ito, which people
with any colour vision can tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_serving.server.benchmark.figures import MS, percentile
from scaling.report import WARM_UP_SHARE, Figures, rows_by_client
from scaling.simulation import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _RED, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
_INK, _FAINT = "#222222", "#D9D9D9"
_STYLE: Any = {"font.size": 11, "axes.edgecolor": _INK, "axes.titlesize": 12, "savefig.facecolor": "white"}
_DPI = 90
_LINE_S = 0.1
_RAREST = 0.05
"""The smallest share of requests that is drawn, in percent."""
_P99_REQUESTS = 100
"""With fewer requests the 99th percentile is just the slowest one, and is called that."""


def draw_sweep(rows: Sequence[Figures], path: Path, stamp: str) -> None:
    """Throughput, busy shares and latency over the number of workers."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(
            f"One ventilator, {rows[0].workers:,} to {rows[-1].workers:,} workers (simulated)", (15, 5), stamp, 1, 3
        )
        workers = [row.workers for row in rows]
        _throughput(axes[0], rows, workers)
        for name, color, read in _SHARES:
            axes[1].plot(workers, [100 * read(row) for row in rows], "o-", color=color, label=name)
        axes[1].set(title="Busy share", ylabel="busy (% of the time)", ylim=(0, 105))
        for name, color, style, fill, latency in _LATENCIES:
            heights = [latency(row) for row in rows]
            axes[2].plot(workers, heights, style, color=color, marker="o", markerfacecolor=fill or color, label=name)
        axes[2].set(title="Latency", ylabel="ms", yscale="log")
        for axis in axes:
            axis.set(xscale="log", xlabel="workers")
            axis.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
        for axis in (axes[0], axes[2]):
            axis.yaxis.set_major_formatter("{x:,.0f}")
        places: Any = ("upper left", "center left", "lower right")
        for axis, place in zip(axes, places, strict=True):
            axis.legend(frameon=False, loc=place, fontsize=10)
        low, high = axes[2].get_ylim()
        axes[2].set_ylim(low / 4, 1.5 * high)  # room for the legend below, and for p99 above
        figure.savefig(path, dpi=_DPI)


def _throughput(axis: Axes, rows: Sequence[Figures], workers: Sequence[int]) -> None:
    ideal = [rows[0].rows_per_s / rows[0].workers * count for count in workers]
    axis.plot(workers, ideal, "--", color="#777777", label="as many times one worker")
    axis.plot(workers, [row.rows_per_s for row in rows], "o-", color=_BLUE, label="texts/s")
    axis.set(title="Throughput", ylabel="texts/s", yscale="log")


_SHARES: list[tuple[str, str, Callable[[Figures], float]]] = [
    ("lanes", _GREEN, lambda row: row.lanes_busy),
    ("ventilator", _RED, lambda row: row.ventilator_busy),
    ("sink", _PURPLE, lambda row: row.sink_busy),
]
_LATENCIES: list[tuple[str, str, str, str, Callable[[Figures], Any]]] = [
    ("bulk p99", _BLUE, "-", "", lambda row: row.bulk_p99_ms),
    ("bulk p50", _BLUE, ":", "white", lambda row: row.bulk_p50_ms),
    ("single text p99", _RED, "-", "", lambda row: row.urgent_p99_ms),
    ("single text p50", _RED, ":", "white", lambda row: row.urgent_p50_ms),
]


def draw_run(result: Result, folder: Path, stamp: str) -> list[Path]:
    """Two pictures: what happened over time; and what clients saw, in latency and in texts a second."""
    import matplotlib

    name = f"workers-{result.fleet.workers}"
    title = f"{result.fleet.workers:,} workers, one in five lost for a while (simulated)"
    paths = [folder / f"{name}-over-time.png", folder / f"{name}-clients.png"]
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(title, (10, 6), stamp, 2, 1)
        _over_time(axes, result)
        figure.savefig(paths[0], dpi=_DPI)
        figure, axes = _figure(title, (12, 5), stamp, 1, 2)
        _latency(axes[0], result)
        _fairness(axes[1], result)
        figure.savefig(paths[1], dpi=_DPI)
    return paths


def _over_time(axes: Sequence[Axes], result: Result) -> None:
    end_s = result.trace.duration_s
    computed, busy = axes
    computed.plot(*result.rows.line(end_s, 2 * _LINE_S), color=_BLUE, label="texts/s computed")
    computed.set(ylabel="texts/s", xlim=(0, end_s))
    computed.yaxis.set_major_formatter("{x:,.0f}")
    computed.set_ylim(bottom=0, top=1.2 * computed.get_ylim()[1])
    looks = ((result.ventilator, "ventilator", _RED, 3.5), (result.sink, "sink", _PURPLE, 1.5))
    for meter, name, color, width in looks:  # one may lie on the other
        times, shares = meter.line(end_s, 2 * _LINE_S)
        busy.plot(
            times, [min(100.0, 100 * share) for share in shares], color=color, linewidth=width, label=f"{name} busy"
        )
    busy.set(xlabel="seconds", ylabel="% of the time", xlim=(0, end_s), ylim=(0, 125), yticks=range(0, 101, 25))
    for axis in axes:
        for outage in result.trace.outages:
            label = "workers lost" if axis is computed else None
            axis.axvspan(outage.at_s, outage.back_s, color=_FAINT, zorder=0, label=label)
        axis.legend(loc="upper left", frameon=False, ncols=3, fontsize=10)


def _latency(axis: Axes, result: Result) -> None:
    """How many requests took at least this long: on a logarithmic scale, or nobody would see the slowest hundredth."""
    from matplotlib.ticker import FixedLocator, NullFormatter

    begin_s = WARM_UP_SHARE * result.trace.duration_s
    for urgent, name, color in ((True, "single texts", _RED), (False, "bulk requests", _BLUE)):
        found = sorted(
            MS * asked.latency_s for asked in result.requests if asked.urgent is urgent and asked.asked_s >= begin_s
        )
        if not found:
            continue
        shares = [100 * (len(found) - place) / len(found) for place in range(len(found))]
        half, rare = percentile(found, 50), percentile(found, 99)
        rarest = "p99" if len(found) >= _P99_REQUESTS else "slowest"
        label = f"{name}: p50 {half:,.0f} ms, {rarest} {rare:,.0f} ms"
        axis.plot(found, shares, color=color, label=label)
        axis.plot([half, rare], [shares[found.index(half)], shares[found.index(rare)]], "o", color=color)
    axis.axhline(1, color="#777777", linestyle="--", linewidth=1)
    axis.text(0.01, 1, "p99", transform=axis.get_yaxis_transform(), va="bottom", fontsize=9, color="#555555")
    axis.set(title="Latency", xlabel="ms", ylabel="took at least this long (% of requests)", xscale="log", yscale="log")
    axis.set_ylim(_RAREST, 1500)  # room for the legend
    axis.set_yticks([0.1, 1, 10, 50, 100], ["0.1", "1", "10", "50", "100"])
    axis.yaxis.set_minor_formatter(NullFormatter())
    low, high = axis.get_xlim()
    steps = (1, 2, 5) if high > 20 * low else (1, 1.5, 2, 2.5, 3, 4, 5, 7)
    axis.xaxis.set_major_locator(FixedLocator([step * 10**power for power in range(6) for step in steps]))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", labelsize=9)
    axis.legend(frameon=False, loc="upper left", fontsize=10)


def _fairness(axis: Axes, result: Result) -> None:
    """What each client got, those of each size in order."""
    end_s = result.trace.duration_s
    begin_s = WARM_UP_SHARE * end_s
    got = rows_by_client(result.requests, begin_s, end_s)
    sizes = sorted({filler.rows for filler in result.trace.fillers})
    for size, color, marker in zip(sizes, (_GREEN, _RED, _BLUE), ("o", "s", "^"), strict=False):
        clients = [filler.client for filler in result.trace.fillers if filler.rows == size]
        rates = sorted(got.get(client, 0.0) / (end_s - begin_s) for client in clients)
        places = [(place + 0.5) / len(rates) * 100 for place in range(len(rates))]
        axis.plot(places, rates, marker, color=color, markersize=6 if len(rates) < 50 else 2,
                  label=f"requests of {size:,} texts", linestyle="")  # fmt: skip
    axis.set(
        title="Texts a second of each bulk client", xlabel="clients, slowest first (%)", ylabel="texts/s", xlim=(0, 100)
    )
    axis.set_ylim(bottom=0, top=1.35 * axis.get_ylim()[1])
    axis.legend(frameon=False, loc="upper left", markerscale=1.5)


def _figure(
    title: str, size: tuple[float, float], stamp: str, rows: int, columns: int
) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=14, fontweight="bold", color=_INK)
    figure.supxlabel(stamp, fontsize=9, color="#555555")
    layout: Any = figure.get_layout_engine()
    layout.set(wspace=0.08)
    axes = figure.subplots(rows, columns, sharex=rows > 1)
    for axis in axes:
        axis.grid(axis="y", color=_FAINT, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)
