"""`make compare`: this server beside 1.10 and beside engines in process, on this machine, as ratios of one run.

    make compare ARGS="[--base COMMIT | --model FOLDER] [--rounds N] [--only 1,3,6-8] [--quick] [--out DIR]"

Contestants take turns, A B A B, and each figure is the median over the rounds. Prints the table and writes it as
Markdown and JSON.

With --model it is rows 6 to 9 and 15 alone, with the encoder of that folder in MiniLM's place. Engines in process that
do not take it are left out, and so are those whose vectors are not ours.

With --base it is this server as it stands here beside the one of an earlier commit, and nobody else: rows 3, 4, 5, 9
and 12. Two servers of that commit are measured: what they differ by is the spread, and only what lies beyond it counts
as worse or better. Exit status 1 if anything is worse or could not be measured; --quick leaves worse ones be.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from environments import Missing, versions_of
from folders import ROOT

from compare import commits, rows_base, rows_engines, rows_http, rows_inside, rows_legacy, rows_rank, texts
from compare.encoder import NoModel
from compare.protocol import cores
from compare.setup import QUICK, Setup, Sizes
from compare.sources import WrongSources
from compare.table import Report, Row, chosen_rows
from compare.verdict import Beside, BesideReport

GROUPS = (rows_legacy, rows_engines, rows_inside, rows_rank, rows_http)
TITLES: dict[int, str] = {number: title for group in GROUPS for number, title in group.TITLES.items()}
AnyRow = TypeVar("AnyRow", Row, Beside)


def main() -> int:
    """Exit status 1 if nothing at all could be measured; for what it is with a base see above."""
    args = parsed()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow writes the models
    sizes = QUICK if args.quick else Sizes()
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        setup = Setup(1 if args.quick else args.rounds, sizes, Path(folder), args.model)
        begin_s = time.monotonic()
        try:
            report = _beside_base(setup, args) if args.base else _beside_others(setup, args)
        except (commits.NoCommit, WrongSources) as error:
            print(f"--base {args.base}: {error}", file=sys.stderr)
            return 2
        except NoModel as error:
            print(f"--model {args.model}: {error}", file=sys.stderr)
            return 2
        report.about["minutes"] = round((time.monotonic() - begin_s) / 60, 1)
    if args.quick:
        report.about["--quick"] = "one small round, which shows that it works and not how fast it is"
    _write(report, args.out, "base" if args.base else "model" if args.model else "compare")
    return 0 if _is_good(report, args.quick) else 1


def _beside_others(setup: Setup, args: argparse.Namespace) -> Report:
    report = Report(_about(setup))
    for group in GROUPS:
        wanted = args.only & group.TITLES.keys()
        for numbers in [wanted] if group.TOGETHER else [{number} for number in sorted(wanted)]:
            report.rows += _measured(partial(group.rows, setup, numbers), numbers, Row)
    report.peers, report.measured = setup.peers, setup.measured
    report.about["peers"] = _named(setup.versions) or "none"
    return report


def _beside_base(setup: Setup, args: argparse.Namespace) -> BesideReport:
    """Raises NoCommit and WrongSources before anything is measured."""
    base, ours = commits.check_out(args.base, setup.folder / "base"), commits.here()
    by_side = {rows_base.BASE: base, rows_base.OURS: ours, rows_base.AGAIN: base}
    for commit in (base, ours):
        commit.check()
    report = BesideReport({"base": base.name, "this tree": ours.name, **_about(setup)})
    for group in rows_base.TOGETHER:
        numbers = args.only & group
        report.rows += _measured(partial(rows_base.rows, setup, numbers, by_side), numbers, Beside)
    report.measured = setup.measured
    return report


def _is_good(report: Report | BesideReport, is_quick: bool) -> bool:
    if isinstance(report, Report):
        return any(row.ours for row in report.rows)
    return all(row.figures for row in report.rows) if is_quick else report.is_good


def parsed() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__, formatter_class=_AsWritten)
    parser.add_argument("--base", default="", metavar="COMMIT", help="compare with this commit's server, and no other")
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", help="rows 6 to 9 and 15 with the encoder of this folder"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default: 3)")
    parser.add_argument("--only", default="", help="rows to measure, such as 1,3,6-8 (default: all)")
    parser.add_argument("--quick", action="store_true", help="one small round, to see whether it works")
    parser.add_argument("--out", type=Path, default=ROOT / ".compare", help="folder for what is written")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    if args.base and args.model:
        parser.error("--base and --model cannot be combined")
    try:
        args.only = chosen_rows(args.only, _titles(args))
    except ValueError as error:
        parser.error(f"--only: {error}")
    return args


def _titles(args: argparse.Namespace) -> dict[int, str]:
    """Of the rows that may be chosen."""
    if args.base:
        return rows_base.TITLES
    return rows_engines.TITLES if args.model else TITLES


class _AsWritten(argparse.RawDescriptionHelpFormatter):
    pass


def _measured(measure: Callable[[], list[AnyRow]], wanted: set[int], kind: type[AnyRow]) -> list[AnyRow]:
    """The wanted rows of one group; if it cannot be measured each of them says why."""
    if not wanted:
        return []
    print(f"rows {', '.join(map(str, sorted(wanted)))}:", flush=True)
    try:
        return measure()
    except Exception as error:  # what was measured before it must not be lost
        if not isinstance(error, Missing):
            traceback.print_exc()
        print(f"  left out: {error}", flush=True)
        return [kind(str(number), TITLES[number], note=f"left out: {error}") for number in sorted(wanted)]


def _about(setup: Setup) -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    own = versions_of(Path(sys.executable), ("bert-serving-server",))
    for tensorflow in ("tensorflow-cpu", "tensorflow"):
        own = own | versions_of(Path(sys.executable), (tensorflow,))
    counts = ", ".join(f"{name} {count}" for name, count in texts.word_counts(setup.passages).items())
    return {
        "machine": f"{model}, {len(cores())} cores, Python {platform.python_version()}",
        "this server": _named(own),
        "model": setup.encoder.name,
        "texts": f"{len(setup.passages)} passages of {texts.source()}; words: {counts}",
        "rounds": setup.rounds,
    }


def _named(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _write(report: Report | BesideReport, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(report.as_json(), indent=2) + "\n", "utf-8")
    (folder / f"{name}.md").write_text(report.as_markdown(), "utf-8")
    print(f"\n{report.as_markdown()}\nwritten: {folder}/{name}.md and {folder}/{name}.json")


if __name__ == "__main__":
    sys.exit(main())
