"""`make scaling`: measures costs, compares with a real server, and simulates scale."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path

from bert_serving.client import BertServingError
from bert_serving.server.benchmark.tokens import counter_of_model
from bert_serving.server.benchmark.workloads import counted, mixed_passages
from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.tensorflow_engine import resolve
from bert_serving.server.errors import BertServerError
from bert_serving.server.version import __version__
from scaling.cost import Costs
from scaling.plots import draw_run, draw_sweep
from scaling.report import Figures, figures, table
from scaling.simulation import Fleet, Simulation
from scaling.trace import Outage, bulk_beside_interactive
from scaling.validation import measure_all
from scaling.validation import table as compared_table

COSTS = "costs.json"
_QUEUED_A_WORKER = 2_000
"""Texts that may be open for each worker: the usual -max_queue is too little for a thousand."""


def main() -> None:
    """Exit status 1 with a sentence for what cannot work."""
    args = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an exception, so that a server is stopped
    try:
        args.run(args)
    except (BertServerError, BertServingError, OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"error: {type(error).__name__}: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make scaling", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    measure = commands.add_parser("measure", help="measure costs on this machine, and what they predict of it")
    measure.set_defaults(run=_measure)
    simulate = commands.add_parser("run", help="simulate services of many workers with the costs")
    simulate.set_defaults(run=_simulate)
    for command in (measure, simulate):
        command.add_argument("folder", type=Path, help="for costs.json and what is made of it")
    measure.add_argument("-model_dir", required=True, help="folder of a BERT model")
    measure.add_argument("-max_seq_len", type=int, default=128, help="as of bert-serving-start (default: 128)")
    measure.add_argument("-text", type=Path, default=Path("README.md"), help="file whose sentences are asked")
    measure.add_argument("-rounds", type=int, default=3, help="that count (default: 3)")
    measure.add_argument("-duration", type=float, default=20.0, help="seconds of each load (default: 20)")
    measure.add_argument(
        "-log", type=Path, default=Path("simulator.log"), help="for what servers log (default: simulator.log)"
    )
    simulate.add_argument("-workers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000])
    simulate.add_argument("-closely", type=int, nargs="*", default=[8, 64, 1000], help="those that get two plots each")
    simulate.add_argument("-duration", type=float, default=8.0, help="simulated seconds (default: 8)")
    simulate.add_argument("-rate", type=float, default=10.0, help="single texts a second for each worker (default: 10)")
    for command in (measure, simulate):
        command.add_argument("-seed", type=int, default=1, help="of texts and times (default: 1)")
    return parser


def _measure(args: argparse.Namespace) -> None:
    config = ServerConfig.from_mapping({"model_dir": args.model_dir, "cpu": True, "max_seq_len": args.max_seq_len})
    pool = counted(mixed_passages(args.text.read_text("utf-8"), args.seed), counter_of_model(resolve(config)))
    costs, found = measure_all(config, pool, args.log, rounds=args.rounds, duration_s=args.duration, seed=args.seed)
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / COSTS).write_text(costs.to_json())
    shown = {name: value for name, value in asdict(costs).items() if name not in ("lengths", "about")}
    print(json.dumps(shown, indent=1), *costs.about["fit"], compared_table(found), sep="\n")
    content = {"machine": costs.about, "compared": [asdict(row) for row in found]}
    (args.folder / "validation.json").write_text(json.dumps(content, indent=1) + "\n")


def _simulate(args: argparse.Namespace) -> None:
    costs = Costs.from_json((args.folder / COSTS).read_text())
    stamp = _stamp(costs)
    rows: list[Figures] = []
    for workers in args.workers:
        rows.append(figures(_simulation(args, costs, workers, None).run(finish=False)))
        print(table(rows[-1:]), flush=True)
    for workers in args.closely:
        # a fifth of the workers are gone for a while: then all is finished, and each answer checked
        outage = Outage(args.duration * 0.5, args.duration * 0.7, tuple(range(0, workers, 5)))
        draw_run(_simulation(args, costs, workers, outage).run(), args.folder, stamp)
    (args.folder / "scaling.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    draw_sweep(rows, args.folder / "scaling.png", stamp)
    print(table(rows))


def _stamp(costs: Costs) -> str:
    """What a plot says of itself: which version was simulated when, and where its costs come from."""
    about = costs.about
    measured = (
        f"costs of {about['bert_serving']} measured {about['time'][:10]} on {about['cpu']}, {about['cores']} cores"
    )
    return f"bert-as-service {__version__}  ·  simulated {date.today().isoformat()}  ·  {measured}"


def _simulation(args: argparse.Namespace, costs: Costs, workers: int, outage: Outage | None) -> Simulation:
    trace = bulk_beside_interactive(
        costs.lengths,
        workers=workers,
        duration_s=args.duration,
        seed=args.seed,
        rate_a_worker=args.rate,
        outage=outage,
    )
    max_queue = max(ServerConfig.max_queue, _QUEUED_A_WORKER * workers)
    fleet = Fleet(workers, costs.about["lanes"], costs.about["cores"])
    return Simulation(trace, fleet, costs, ServerConfig(model_dir="simulated", max_queue=max_queue))


if __name__ == "__main__":
    main()
