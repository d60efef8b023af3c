"""What cannot start says why: no traceback, nothing left running. The command's last line: test_whole_paths."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import START
from family import Family
from folders import TINY
from ports import free_ports

from bert_serving.server import BertServer
from bert_serving.server.errors import BertServerError
from bert_serving.server.options import get_args_parser


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


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The reason of a start that must fail."""

    def start(*words: str) -> str:
        family = Family()
        port, port_out = map(str, free_ports(2))
        args = get_args_parser().parse_args([*words, "-port", port, "-port_out", port_out])
        with pytest.raises(BertServerError) as caught, BertServer(args):
            pass
        assert family.members() == []
        assert "Traceback" not in capfd.readouterr().err
        return str(caught.value)

    return start


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
def test_a_damaged_model_is_named(
    damage: Callable[[Path], None], names: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    damage(folder)
    assert names in refused("-model_dir", str(folder), "-cpu")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["/no/such/folder"], "/no/such/folder"),
        ([str(TINY), "-max_seq_len", "65"], "-max_seq_len 65"),
        ([str(TINY), "-pooling_layer", "-5"], "-5"),
        ([str(TINY), "-pooling_strategy", "CLASSIFICATION"], "output_weights"),
        ([str(TINY), "-tuned_model_dir", "/no/tuned"], "/no/tuned"),
        ([str(TINY), "-device_map", "3"], "-device_map names GPU 3"),
    ],
    ids=lambda value: "-".join(value[1:]) if isinstance(value, list) else "",
)
def test_options_that_do_not_fit_are_named(words: list[str], names: str, refused: Callable[..., str]) -> None:
    assert names in refused("-model_dir", *words)


@pytest.fixture
def false_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A false nvidia-smi shows GPUs 0, 1 and 4; TensorFlow for CPUs sees none of them."""
    program = tmp_path / "nvidia-smi"
    rows = [f"echo '{n}, GPU-{n}, 0, 1000, 0, 1000, 1, Tesla, 1, Enabled, Disabled, 30'" for n in (0, 1, 4)]
    program.write_text("\n".join(["#!/bin/sh", *rows]))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("false_gpus")
def test_gpus_that_tensorflow_cannot_use_are_refused(refused: Callable[..., str]) -> None:
    assert "TensorFlow sees no GPU" in refused("-model_dir", str(TINY), "-device_map", "4")


@pytest.mark.usefixtures("false_gpus")
def test_the_map_of_the_faq_is_shown() -> None:
    port, port_out = map(str, free_ports(2))
    words = ["-model_dir", str(TINY), "-device_map", "0", "1", "4", "-num_worker", "4"]
    rehearse = [*START, "-dry_run", *words, "-port", port, "-port_out", port_out]
    shown = subprocess.run(rehearse, check=True, capture_output=True, text=True, timeout=60).stdout
    devices = [line.split(",")[0] for line in shown.splitlines() if line.startswith("worker-")]
    assert devices == ["worker-0: gpu:0", "worker-1: gpu:1", "worker-2: gpu:4", "worker-3: gpu:0"]
