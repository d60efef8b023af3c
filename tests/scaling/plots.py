"""Simulations as pictures, PNG, by matplotlib: one over the number of workers, one for each run looked at closely.

Colours are those of Okabe and Ito, which people with any colour vision can tell apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_serving.server.benchmark.figures import MS
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


def draw_sweep(rows: Sequence[Figures], path: Path) -> None:
    """Throughput, busy shares and latency over the number of workers."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure("One ventilator, more and more workers (simulated)")
        workers = [row.workers for row in rows]
        _throughput(axes[0], rows, workers)
        for name, color, read in _SHARES:
            axes[1].plot(workers, [100 * read(row) for row in rows], "o-", color=color, label=name)
        axes[1].set(title="Who is busy", ylabel="share of its time (%)", ylim=(0, 105))
        for name, color, style, latency in _LATENCIES:
            axes[2].plot(workers, [latency(row) for row in rows], style, color=color, marker="o", label=name)
        axes[2].set(title="Latency", ylabel="ms", yscale="log")
        for axis in axes:
            axis.set(xscale="log", xlabel="workers")
            axis.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
        places: Any = ("upper left", "center left", "lower right")
        for axis, place in zip(axes, places, strict=True):
            axis.legend(frameon=False, loc=place, fontsize=10)
        axes[2].set_ylim(bottom=axes[2].get_ylim()[0] / 4)  # room for the legend
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
_LATENCIES: list[tuple[str, str, str, Callable[[Figures], Any]]] = [
    ("bulk p99", _BLUE, "-", lambda row: row.bulk_p99_ms),
    ("bulk p50", _BLUE, ":", lambda row: row.bulk_p50_ms),
    ("single text p99", _RED, "-", lambda row: row.urgent_p99_ms),
    ("single text p50", _RED, ":", lambda row: row.urgent_p50_ms),
]


def draw_run(result: Result, path: Path) -> None:
    """Throughput and the ventilator's share over time, latency by class, and what each bulk client got."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(f"{result.fleet.workers:,} workers, a fifth of them gone for a while (simulated)")
        _over_time(axes[0], result)
        _latency(axes[1], result)
        _fairness(axes[2], result)
        figure.savefig(path, dpi=_DPI)


def _over_time(axis: Axes, result: Result) -> None:
    end_s = result.trace.duration_s
    axis.plot(*result.rows.line(end_s, 2 * _LINE_S), color=_BLUE, label="texts/s")
    axis.set(title="Over time", xlabel="seconds", ylabel="texts/s computed", xlim=(0, end_s))
    axis.set_ylim(bottom=0, top=1.35 * axis.get_ylim()[1])
    axis.yaxis.set_major_formatter("{x:,.0f}")
    for outage in result.trace.outages:
        axis.axvspan(outage.at_s, outage.back_s, color=_FAINT, zorder=0, label="workers gone")
    busy = axis.twinx()
    times, shares = result.ventilator.line(end_s, 2 * _LINE_S)
    busy.plot(times, [min(100.0, 100 * share) for share in shares], color=_RED, label="ventilator busy")
    busy.set(ylabel="ventilator busy (%)", ylim=(0, 135), yticks=range(0, 101, 25))
    busy.spines["top"].set_visible(False)
    handles, labels = axis.get_legend_handles_labels()
    others, names = busy.get_legend_handles_labels()
    axis.legend(handles + others, labels + names, loc="upper left", frameon=False, ncols=2, fontsize=9)


def _latency(axis: Axes, result: Result) -> None:
    from matplotlib.ticker import FixedLocator, NullFormatter

    begin_s = WARM_UP_SHARE * result.trace.duration_s
    for urgent, name, color in ((True, "single texts", _RED), (False, "bulk requests", _BLUE)):
        found = sorted(
            MS * asked.latency_s for asked in result.requests if asked.urgent is urgent and asked.asked_s >= begin_s
        )
        if found:
            axis.plot(found, [100 * (place + 1) / len(found) for place in range(len(found))], color=color, label=name)
    axis.set(title="Latency", xlabel="ms", ylabel="answered within (% of requests)", xscale="log", ylim=(0, 102))
    axis.xaxis.set_major_locator(FixedLocator([step * 10**power for power in range(6) for step in (1, 2, 5)]))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", labelsize=9)
    axis.legend(frameon=False, loc="upper left")


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
                  label=f"{size:,} texts a request", linestyle="")  # fmt: skip
    axis.set(title="What each bulk client got", xlabel="clients, in order (%)", ylabel="texts/s", xlim=(0, 100))
    axis.set_ylim(bottom=0, top=1.35 * axis.get_ylim()[1])
    axis.legend(frameon=False, loc="upper left", markerscale=1.5)


def _figure(title: str) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=14, fontweight="bold", color=_INK)
    layout: Any = figure.get_layout_engine()
    layout.set(wspace=0.08)
    axes = figure.subplots(1, 3)
    for axis in axes:
        axis.grid(axis="y", color=_FAINT, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines["top"].set_visible(False)
    return figure, list(axes)
