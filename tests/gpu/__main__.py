"""Measure the engine on a GPU, beside PyTorch with its fused attention: `make gpu`, or `python -m gpu [--rehearse]`.

Models have random weights, for time depends on their sizes alone. Engine and PyTorch take turns, each in a process of
its own. Takes less than 8 minutes; prints a table, and writes it to .compare/gpu.md. `--rehearse` runs all of it with a
tiny model on the CPU, which shows that it works and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from folders import ROOT
from random_model import write_model

from gpu.sizes import LENGTHS, REHEARSAL, SIZES, Size, peak_of

MOST_S = 75.0
"""For one process with one model: three models and two processes each take less than 8 minutes."""


def main() -> int:
    """Exit status 1 if there is no GPU, or nothing could be measured on it."""
    rehearses = "--rehearse" in sys.argv[1:]
    card = "none, a rehearsal on the CPU" if rehearses else _card()
    if card is None:
        print("no GPU is seen here: nvidia-smi lists none; --rehearse runs all of it on the CPU", file=sys.stderr)
        return 1
    begin_s = time.monotonic()
    lines = [
        f"Card: {card}. Texts a second in {'float32' if rehearses else 'bfloat16'}, {time.strftime('%Y-%m-%d')}.",
        "",
        "| Model | Tokens | This engine | Of the peak | PyTorch | Of the peak | Ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    measured = 0
    for size in REHEARSAL if rehearses else SIZES:
        ours, theirs = _measured(size, rehearses)
        measured += len(ours)
        lines += [_line(size, length, ours.get(length), theirs.get(length), peak_of(card)) for length in LENGTHS]
    lines += ["", f"It took {(time.monotonic() - begin_s) / 60:.1f} minutes."]
    print("\n".join(lines))
    if not rehearses:
        (ROOT / ".compare").mkdir(exist_ok=True)
        (ROOT / ".compare" / "gpu.md").write_text("\n".join(lines) + "\n")
    return 0 if measured else 1


def _card() -> str | None:
    """The name of the first GPU."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found[0] if found else None


def _measured(size: Size, rehearses: bool) -> tuple[dict[int, float], dict[int, float]]:
    """Texts a second by length: of our engine, and of PyTorch."""
    with tempfile.TemporaryDirectory(prefix="gpu-") as folder:
        write_model(Path(folder), ROOT / "tests" / "golden" / "architectures" / size.like, size.config())
        return _run("gpu.ours", folder, rehearses), _run("gpu.by_torch", folder, rehearses)


def _run(module: str, folder: str, rehearses: bool) -> dict[int, float]:
    """What a process has measured until its time was over; nothing if it cannot begin."""
    command = [sys.executable, "-m", module, folder, *(["--rehearse"] if rehearses else [])]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            output, _ = process.communicate(timeout=MOST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
    return {one["length"]: one["texts_per_s"] for one in map(json.loads, output.splitlines())}


def _line(size: Size, length: int, ours: float | None, theirs: float | None, peak: float | None) -> str:
    def share(rate: float | None) -> str:
        return "" if rate is None or peak is None else f"{rate * size.operations(length) / peak:.2f}"

    def shown(rate: float | None) -> str:
        return "not measured" if rate is None else f"{rate:,.0f}"

    ratio = f"{ours / theirs:.2f}" if ours and theirs else ""
    return f"| {size.name} | {length} | {shown(ours)} | {share(ours)} | {shown(theirs)} | {share(theirs)} | {ratio} |"


if __name__ == "__main__":
    sys.exit(main())
