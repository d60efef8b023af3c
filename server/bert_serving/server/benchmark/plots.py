"""Plots of a report, as PNG and SVG, if matplotlib is installed.

Colours are those of Okabe and Ito, which people with any colour vision can tell apart; each series also has a marker of
its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_serving.server.benchmark.figures import Latency, Spread
from bert_serving.server.benchmark.report import by_texts, number
from bert_serving.server.benchmark.results import Kind, Point, Report, Table
from bert_serving.server.benchmark.workloads import SENTENCES, WORDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
NO_MATPLOTLIB = "there are no plots, because matplotlib is not installed: pip install matplotlib"

_COLORS = ("#0072B2", "#D55E00", "#009E73")
_MARKERS = ("o", "s", "^")
_SHIFTS = (-0.04, 0.04)  # so that the spans of two series do not hide one another
_INK, _FAINT = "#222222", "#D9D9D9"
_STYLE: Any = {
    "font.size": 12,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlesize": 13,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "bert-serving-benchmark",
}
_TEXTS_SHOWN = {WORDS: "random words, full length", SENTENCES: "real sentences, mixed length"}
_P999_REQUESTS = 1000
"""With fewer requests the 99.9th percentile is just the slowest one, and is called that."""


def draw(report: Report, folder: Path) -> list[str] | None:
    """Write NAME.png and NAME.svg for each table that has figures.

    Returns the names of these tables, or None if matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        return None
    drawn = []
    for table in report.tables:
        points = [point for point in by_texts(table.points) if not point.problem]
        if points:
            with matplotlib.rc_context(_STYLE):
                _save(_DRAWN_BY[table.kind](table, points), folder / table.name, _subtitle(report))
            drawn.append(table.name)
    return drawn


def _save(figure: Figure, path: Path, subtitle: str) -> None:
    figure.text(0.5, 0.012, subtitle, ha="center", va="bottom", fontsize=9, color="#555555")
    for kind in FORMATS:
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(path.with_suffix(f".{kind}"), dpi=150, metadata=metadata)


def _subtitle(report: Report) -> str:
    folder = Path(str(report.server.get("model_dir") or report.server.get("url", "")))
    model = "/".join(folder.parts[-2:])  # of many models the last folder is just called "model"
    version = report.server.get("server_version") or report.machine.get("bert_serving")
    shown = [model, report.server.get("model"), report.machine.get("cpu"), f"{report.machine.get('cores')} cores",
             f"bert-as-service {version}", str(report.machine.get("time", ""))[:10]]  # fmt: skip
    return "  ·  ".join(str(part) for part in shown if part)


def _figure(panels: int, title: str) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6 * panels + 0.8, 5.2), layout="constrained")
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0.01, 0.05, 0.98, 0.80), wspace=0.06)
    figure.text(0.5, 0.975, title, ha="center", va="top", fontsize=16, fontweight="bold", color=_INK)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for each in axes:
        each.grid(axis="y", color=_FAINT, linewidth=0.8)
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


# -- throughput over a parameter --------------------------------------------------------------------------------------


def _draw_closed(table: Table, points: Sequence[Point]) -> Figure:
    measures: list[tuple[str, Callable[[Point], Spread | None]]] = [("sentences/s", lambda p: p.sentences_per_s)]
    if any(point.tokens_per_s for point in points):
        measures.append(("tokens/s", lambda point: point.tokens_per_s))
    figure, axes = _figure(len(measures), f"Throughput by {table.name}")
    for axis, (unit, measure) in zip(axes, measures, strict=True):
        _draw_rates(axis, points, measure)
        axis.set(xlabel=table.name, ylabel=f"{unit} (median, min to max)")
        axis.set_ylim(bottom=0)
    _legend(figure, axes[0])
    return figure


def _draw_rates(axis: Axes, points: Sequence[Point], measure: Callable[[Point], Spread | None]) -> None:
    """Values are equally spaced, as they mostly double."""
    values = sorted({point.value for point in points}, key=[point.value for point in points].index)
    for (kind, group), color, marker, shift in zip(_by_kind(points).items(), _COLORS, _MARKERS, _SHIFTS, strict=False):
        known = [(values.index(point.value) + shift, rate) for point in group if (rate := measure(point)) is not None]
        places, rates = [place for place, _ in known], [rate for _, rate in known]
        medians = [rate.median for rate in rates]
        spans = [[rate.median - rate.min for rate in rates], [rate.max - rate.median for rate in rates]]
        axis.errorbar(places, medians, yerr=spans, color=color, marker=marker, markersize=7, linewidth=2, capsize=4,
                      elinewidth=1.2, label=_TEXTS_SHOWN.get(kind, kind))  # fmt: skip
    axis.set_xticks(range(len(values)), [str(value) for value in values])
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.margins(x=0.08, y=0.12)


# -- latency ----------------------------------------------------------------------------------------------------------


def _percentiles(points: Sequence[Point]) -> list[tuple[str, Callable[[Latency], float]]]:
    rarest = "p99.9" if min(point.requests for point in points) >= _P999_REQUESTS else "slowest"
    return [("p50", lambda found: found.p50), ("p99", lambda found: found.p99), (rarest, lambda found: found.p999)]


def _draw_open(table: Table, points: Sequence[Point]) -> Figure:
    kinds = _by_kind(points)
    figure, axes = _figure(len(kinds), "Latency by arrival rate (open loop)")
    for axis, (kind, group) in zip(axes, kinds.items(), strict=True):
        # p99 lies above the rarest, which may be the same, and would hide it
        looks = zip(_percentiles(points), _COLORS, _MARKERS, (7, 6, 10), ("-", "-", "--"), (3, 4, 2), strict=True)
        for (name, read), color, marker, size, style, order in looks:
            known = [(float(point.value), read(point.latency_ms)) for point in group if point.latency_ms]
            axis.plot(*zip(*known, strict=True), color=color, marker=marker, markersize=size, linewidth=2,
                      linestyle=style, zorder=order, label=name)  # fmt: skip
        axis.set(title=_TEXTS_SHOWN.get(kind, kind), xlabel="arrival rate (requests/s)")
        axis.set_xlim(left=0)
        _log_milliseconds(axis, "latency from the scheduled arrival (ms)")
    _share_scale(axes)
    _legend(figure, axes[0])
    return figure


def _draw_beside(table: Table, points: Sequence[Point]) -> Figure:
    """Dots rather than bars: a bar on a logarithmic scale has no length that means anything."""
    kinds = _by_kind(points)
    percentiles = _percentiles(points)
    figure, axes = _figure(len(kinds), "Latency of a single sentence, alone and during bulk load")
    for axis, (kind, group) in zip(axes, kinds.items(), strict=True):
        for point, color, marker, shift in zip(group, _COLORS, _MARKERS, (-0.1, 0.1), strict=False):
            if point.latency_ms is not None:
                heights = [read(point.latency_ms) for _, read in percentiles]
                places = [place + shift for place in range(len(heights))]
                axis.plot(places, heights, color=color, marker=marker, markersize=11, linestyle="", label=point.value)
                _label(axis, places, heights, color, "right" if shift < 0 else "left")
        axis.set(title=_TEXTS_SHOWN.get(kind, kind), xlabel="percentile of requests")
        axis.set_xticks(range(len(percentiles)), [name for name, _ in percentiles])
        axis.set_xlim(-0.6, len(percentiles) - 0.4)
        _log_milliseconds(axis, "latency from the scheduled arrival (ms)")
    _share_scale(axes)
    _legend(figure, axes[0])
    return figure


def _label(axis: Axes, places: Sequence[float], heights: Sequence[float], color: str, side: str) -> None:
    offset = (-10, 0) if side == "right" else (10, 0)
    for place, height in zip(places, heights, strict=True):
        axis.annotate(number(height), (place, height), xytext=offset, textcoords="offset points", color=color,
                      ha=side, va="center", fontsize=11)  # fmt: skip


def _log_milliseconds(axis: Axes, label: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_yscale("log")
    axis.set_ylabel(label)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _share_scale(axes: Sequence[Axes]) -> None:
    """The same logarithmic scale on all panels, so that they can be compared by eye, with some room."""
    limits = [axis.get_ylim() for axis in axes]
    for axis in axes:
        axis.set_ylim(min(low for low, _ in limits) / 1.6, max(high for _, high in limits) * 1.6)


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.925), ncols=len(labels), frameon=False)


def _by_kind(points: Sequence[Point]) -> dict[str, list[Point]]:
    kinds: dict[str, list[Point]] = {}
    for point in points:
        kinds.setdefault(point.texts, []).append(point)
    return kinds


_DRAWN_BY = {Kind.CLOSED: _draw_closed, Kind.OPEN: _draw_open, Kind.BESIDE: _draw_beside}
