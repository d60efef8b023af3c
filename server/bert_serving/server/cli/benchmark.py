"""`bert-serving-benchmark`: measures a server, and writes Markdown, JSON and plots."""

from __future__ import annotations

import sys

from bert_serving.client import BertServingError
from bert_serving.server.benchmark.arguments import Settings, get_benchmark_parser
from bert_serving.server.benchmark.machine import describe_machine
from bert_serving.server.benchmark.plan import Spec
from bert_serving.server.benchmark.plots import NO_MATPLOTLIB, draw
from bert_serving.server.benchmark.progress import Progress
from bert_serving.server.benchmark.report import summary, to_json, to_markdown
from bert_serving.server.benchmark.results import Point, Report
from bert_serving.server.benchmark.runner import plan_of, run
from bert_serving.server.cli.signals import end_by_exception
from bert_serving.server.errors import BertServerError
from bert_serving.server.streams import settle_streams

_SWITCH_INTERVAL_S = 0.0005


def main() -> None:
    """Exit status 0 when something was measured; 1 if nothing could be, 2 for a wrong option."""
    settle_streams()
    parser = get_benchmark_parser()
    args = parser.parse_args()
    # threads that ask share one interpreter; at the usual 5 ms that would show in the latency
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    end_by_exception()
    try:
        settings = Settings.from_args(args)
        settings.output.mkdir(parents=True, exist_ok=True)
    except (BertServerError, OSError) as error:
        parser.error(str(error))
    try:
        problem = benchmark(settings)
    except (BertServerError, BertServingError) as error:
        problem = str(error)
    except KeyboardInterrupt:
        problem = f"stopped; what was measured so far is in {settings.output}"
    if problem:
        sys.stderr.write(f"{parser.prog}: error: {problem}\n")
        sys.exit(1)


def benchmark(settings: Settings) -> str:
    """Measure and write; why nothing could be measured, "" if something was."""
    report = Report(describe_machine(), {}, settings.plain)
    plan = plan_of(settings, report)

    with Progress(len(plan)) as progress:
        for note in report.notes:
            progress.line(note)

        def measured(spec: Spec, point: Point) -> None:
            progress.line(f"{spec.table} {spec.value}, {spec.texts}: {summary(point)}")
            progress.step()
            write(settings, report)  # at once, for those who do not wait until the end

        run(settings, report, plan, measured)
    plots = draw(report, settings.output)
    print(NO_MATPLOTLIB if plots is None else f"plots of {', '.join(plots) or 'nothing'} are in {settings.output}")
    write(settings, report, plots or [])
    print(f"the tables are in {settings.output / 'benchmark.md'}, all figures in {settings.output / 'benchmark.json'}")
    if all(point.problem for point in report.points):
        return f"nothing was measured: {report.points[0].problem}" if report.points else "there is nothing to measure"
    return ""


def write(settings: Settings, report: Report, plots: list[str] | None = None) -> None:
    """The tables and the figures, over those of before."""
    (settings.output / "benchmark.md").write_text(to_markdown(report, plots or []), "utf-8")
    (settings.output / "benchmark.json").write_text(to_json(report), "utf-8")


if __name__ == "__main__":
    main()
