"""`make gpu`: all of it runs, on the CPU, with a tiny model; what the work of a model is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from folders import ROOT

from gpu.sizes import LENGTHS, SIZES, peak_of


def run_gpu(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "tests" / "support")])
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([paths, os.environ.get("PYTHONPATH", "")]), **environment}
    command = [sys.executable, "-m", "gpu", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, cwd=ROOT, timeout=600)


def test_a_rehearsal_measures_each_length() -> None:
    done = run_gpu("--rehearse")
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| rehearsal")]
    assert [int(row[1]) for row in rows] == [*LENGTHS]
    assert all(float(row[2].replace(",", "")) > 0 for row in rows)


def test_without_a_gpu_it_says_so() -> None:
    done = run_gpu(PATH="/nonexistent")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no GPU is seen here" in done.stderr


@pytest.mark.parametrize(("name", "giga"), [("MiniLM", 2.87), ("BERT-base", 22.35)])
def test_operations_of_a_text_of_128_tokens(name: str, giga: float) -> None:
    size = next(size for size in SIZES if size.name == name)
    assert size.operations(128) / 1e9 == pytest.approx(giga, rel=0.001)
    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_of("a card of tomorrow") is None
