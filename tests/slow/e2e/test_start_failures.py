"""What cannot start says why, in one last line, and exits non-zero: no traceback, nothing left running."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command
from family import Family
from folders import TINY


def no_vocab(folder: Path) -> None:
    (folder / "vocab.txt").unlink()


def no_checkpoint(folder: Path) -> None:
    (folder / "bert_model.ckpt.index").unlink()


def short_vocab(folder: Path) -> None:
    lines = (folder / "vocab.txt").read_text().splitlines()
    (folder / "vocab.txt").write_text("\n".join(lines[:5000]) + "\n")


def deeper_config(folder: Path) -> None:
    """So that the checkpoint lacks a layer's variables."""
    config = json.loads((folder / "bert_config.json").read_text())
    (folder / "bert_config.json").write_text(json.dumps({**config, "num_hidden_layers": 6}))


def broken_config(folder: Path) -> None:
    (folder / "bert_config.json").write_text("{")


def cut_checkpoint(folder: Path) -> None:
    data = folder / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (no_vocab, "vocab.txt"),
        (no_checkpoint, "bert_model.ckpt"),
        (short_vocab, "5000"),
        (deeper_config, "bert/encoder/layer_4/"),
        (broken_config, "bert_config.json"),
        (cut_checkpoint, "bert_model.ckpt"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_damaged_model_is_named(damage: Callable[[Path], None], names: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    damage(folder)
    assert names in refused("-model_dir", str(folder), "-cpu")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["-model_dir", "/no/such/folder"], "/no/such/folder"),
        (["-model_dir", str(TINY), "-max_seq_len", "65"], "-max_seq_len 65"),
        (["-model_dir", str(TINY), "-pooling_layer", "-5"], "-5"),
        (["-model_dir", str(TINY), "-pooling_strategy", "CLASSIFICATION"], "output_weights"),
        (["-model_dir", str(TINY), "-tuned_model_dir", "/no/tuned"], "/no/tuned"),
        (["-model_dir", str(TINY), "-device_map", "3"], "-device_map names GPU 3"),
        ([], "-model_dir"),
    ],
    ids=lambda value: "-".join(value[2:]) if isinstance(value, list) else "",
)
def test_options_that_do_not_fit_are_named(arguments: list[str], names: str) -> None:
    assert names in refused(*arguments)


def test_gpus_that_tensorflow_cannot_use_are_refused_and_the_map_is_shown(tmp_path: Path) -> None:
    """A false nvidia-smi shows GPUs 0, 1 and 4; the map is the FAQ's, and TensorFlow for CPUs sees none of them."""
    program = tmp_path / "nvidia-smi"
    rows = [f"echo '{n}, GPU-{n}, 0, 1000, 0, 1000, 1, Tesla, 1, Enabled, Disabled, 30'" for n in (0, 1, 4)]
    program.write_text("\n".join(["#!/bin/sh", *rows]))
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    with Command("-model_dir", str(TINY), "-device_map", "0", "1", "4", "-num_worker", "4", env=env) as server:
        assert server.wait_for_end() == 1
    devices = "worker 0 on gpu:0, worker 1 on gpu:1, worker 2 on gpu:4, worker 3 on gpu:0"
    assert devices in server.log
    assert "TensorFlow sees no GPU" in server.last_line


def refused(*arguments: str) -> str:
    """The last line of a start that must fail."""
    family = Family()
    with Command(*arguments) as server:
        status = server.wait_for_end()
    assert family.members() == []
    assert status in (1, 2), server.log
    assert "Traceback" not in server.log
    assert server.last_line.startswith("bert-serving-start: error: ")
    return server.last_line
