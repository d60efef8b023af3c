"""`make compare`: this server beside 1.10 and beside engines in process, on this machine, as ratios of one run.

    make compare ARGS="[--rounds N] [--only 1,3,6-8] [--quick] [--out DIR]"

Contestants take turns, A B A B, and each figure is the median over the rounds. Prints the table and writes it as
Markdown and JSON.
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
from pathlib import Path
from typing import Any

from compare import rows_engines, rows_inside, rows_legacy, texts
from compare.environments import ROOT, Missing, versions_of
from compare.protocol import cores
from compare.setup import QUICK, Setup, Sizes
from compare.table import Report, Row, chosen_rows

GROUPS = (rows_legacy, rows_engines, rows_inside)
TITLES: dict[int, str] = {number: title for group in GROUPS for number, title in group.TITLES.items()}


def main() -> int:
    """Exit status 1 if nothing at all could be measured."""
    args = _parsed()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow writes the models
    sizes = QUICK if args.quick else Sizes()
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        setup = Setup(1 if args.quick else args.rounds, sizes, Path(folder))
        report = Report(_about(setup))
        begin_s = time.monotonic()
        for group in GROUPS:
            wanted = args.only & group.TITLES.keys()
            for numbers in [wanted] if group.TOGETHER else [{number} for number in sorted(wanted)]:
                report.rows += _measured(group, setup, numbers) if numbers else []
        report.peers, report.measured = setup.peers, setup.measured
        report.about["peers"] = _named(setup.versions) or "none"
        report.about["minutes"] = round((time.monotonic() - begin_s) / 60, 1)
    if args.quick:
        report.about["--quick"] = "one small round, which shows that it works and not how fast it is"
    _write(report, args.out)
    return 0 if any(row.ours for row in report.rows) else 1


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__, formatter_class=_AsWritten)
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default: 3)")
    parser.add_argument("--only", default="", help="rows to measure, such as 1,3,6-8 (default: all)")
    parser.add_argument("--quick", action="store_true", help="one small round, to see whether it works")
    parser.add_argument("--out", type=Path, default=ROOT / ".compare", help="folder for what is written")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        args.only = chosen_rows(args.only, TITLES)
    except ValueError as error:
        parser.error(f"--only: {error}")
    return args


class _AsWritten(argparse.RawDescriptionHelpFormatter):
    pass


def _measured(group: Any, setup: Setup, wanted: set[int]) -> list[Row]:
    """A group's rows; if it cannot be measured each of them says why."""
    print(f"rows {', '.join(map(str, sorted(wanted)))}:", flush=True)
    try:
        found: list[Row] = group.rows(setup, wanted)
    except Exception as error:  # what was measured before it must not be lost
        if not isinstance(error, Missing):
            traceback.print_exc()
        print(f"  left out: {error}", flush=True)
        found = [Row(str(number), TITLES[number], note=f"left out: {error}") for number in sorted(wanted)]
    return found


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
        "model": "all-MiniLM-L6-v2, real weights",
        "texts": f"{len(setup.passages)} passages of {texts.source()}; words: {counts}",
        "rounds": setup.rounds,
    }


def _named(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _write(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compare.json").write_text(json.dumps(report.as_json(), indent=2) + "\n", "utf-8")
    (folder / "compare.md").write_text(report.as_markdown(), "utf-8")
    print(f"\n{report.as_markdown()}\nwritten: {folder}/compare.md and {folder}/compare.json")


if __name__ == "__main__":
    sys.exit(main())
