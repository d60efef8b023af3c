"""What type checkers say of a program that uses the client: mypy reads one, in which each wrong line is marked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from folders import ROOT

PROGRAM = """
import numpy as np
from numpy.typing import NDArray
from typing_extensions import assert_type

from bert_serving.client import AsyncBertClient, BertClient, ConcurrentBertClient, View, WithOffsets

Array = NDArray[np.float32]


def right(bc: BertClient, pool: ConcurrentBertClient, texts: list[str], wait: bool) -> None:
    assert_type(bc.encode(["a", "b"]), Array)
    assert_type(bc.encode(texts), Array)
    assert_type(bc.encode([["a"], ["b"]], is_tokenized=True), Array)
    assert_type(bc.encode([[101, 102]], is_tokenized=True), Array)
    assert_type(bc.encode([("a", "b")], is_pair=True), Array)
    assert_type(bc.encode(texts, pooling="CLS_TOKEN", layers=[-1], normalize=True), Array)
    assert_type(bc.encode(texts, show_tokens=True), tuple[Array, list[list[str]]])
    assert_type(bc.encode(texts, views=[View(), View(dimensions=2)]), list[Array])
    assert_type(bc.encode(texts, offsets=True), WithOffsets)
    bc.encode(texts, blocking=False)
    bc.encode(texts, False)
    vectors: Array = bc.encode(texts, wait)
    assert_type(pool.encode(texts), Array)
    for response in bc.fetch():
        assert_type(response.embedding, Array)


async def right_too(bc: AsyncBertClient, texts: list[str]) -> None:
    assert_type(await bc.encode(texts), Array)
    assert_type(await bc.encode(texts, show_tokens=True), tuple[Array, list[list[str]]])
    assert_type(await bc.encode(texts, views=[View()]), list[Array])
    assert_type(await bc.encode(texts, offsets=True), WithOffsets)


def wrong(bc: BertClient, pool: ConcurrentBertClient, texts: list[str]) -> None:
    bc.encode("a string")  # wrong
    pool.encode("a string")  # wrong
    bc.encode(("a", "b"))  # wrong
    bc.encode(np.array(["a"]))  # wrong
    bc.encode([b"a"])  # wrong
    bc.encode(None)  # wrong
    bc.encode(texts, poling="NONE")  # wrong
    bc.encode(texts, truncate="middle")  # wrong
    bc.encode(texts).no_such_method()  # wrong
    len(bc.encode(texts, blocking=False))  # wrong
    bc.classify("a string")  # wrong


async def wrong_too(bc: AsyncBertClient) -> None:
    await bc.encode("a string")  # wrong
"""


def test_mypy_infers_what_comes_and_refuses_what_cannot_be_sent(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--namespace-packages",
        "--explicit-package-bases",
        "program.py",
    ]
    env = {**os.environ, "MYPYPATH": str(ROOT / "client")}
    checked = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert checked.returncode == 1, checked.stderr
    said = {int(line) for line in re.findall(r"^program\.py:(\d+): error", checked.stdout, re.MULTILINE)}
    lines = PROGRAM.splitlines()
    assert said == {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}, checked.stdout
