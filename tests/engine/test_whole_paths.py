"""A handful of whole paths: commands with the small model, as a person runs them. All others are in tests/slow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import Command
from encode_command import Encode
from family import Family
from folders import TINY
from golden_cases import assert_answers, cases_of

from bert_serving.client import BertClient


def test_a_started_server_answers_as_1_10_did_and_is_stopped() -> None:
    assert {case["texts"] for case in cases_of("")} == {"plain", "odd", "pairs", "tokenized"}
    with Command("-model_dir", str(TINY), "-cpu", "-show_tokens_to_client") as server:
        with BertClient(**server.wait_until_ready().ports, check_length=False) as client:
            assert_answers(client, "")
        terminate = [sys.executable, "-m", "bert_serving.server.cli.terminate", "-port", str(server.port)]
        subprocess.run(terminate, check=True, stdout=subprocess.DEVNULL, timeout=60)
        assert server.wait_for_end() == 0


def cut_checkpoint(folder: Path) -> list[str]:
    data = shutil.copytree(TINY, folder / "model") / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    return ["-model_dir", str(data.parent), "-cpu"]


def no_folder(folder: Path) -> list[str]:
    return ["-model_dir", str(folder / "none")]


def no_option(folder: Path) -> list[str]:
    return []


@pytest.mark.parametrize(
    ("words", "status", "names"),
    [(cut_checkpoint, 1, "bert_model.ckpt"), (no_folder, 2, "none is not a folder"), (no_option, 2, "-model_dir")],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_cannot_start_says_why_on_its_last_line(
    words: Callable[[Path], list[str]], status: int, names: str, family: Family, tmp_path: Path
) -> None:
    with Command(*words(tmp_path)) as server:
        assert server.wait_for_end() == status, server.log
    assert family.members() == []
    assert "Traceback" not in server.log
    assert server.last_line.startswith("bert-serving-start: error: ")
    assert names in server.last_line


def test_a_file_is_encoded_by_a_server_of_the_command(tmp_path: Path) -> None:
    done = Encode(tmp_path)("in.txt", "out.npy", "-model_dir", str(TINY), "-cpu", "-max_seq_len", "8")
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "out.npy").shape == (2500, 48)
    assert not [name for name in os.listdir(tmp_path) if name not in ("in.txt", "out.npy")]
