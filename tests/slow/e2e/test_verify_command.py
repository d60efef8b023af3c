"""`bert-serving-verify` as a person runs it: real servers that are right, and some that are not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from family import Family
from folders import GOLDEN, TINY, TUNED

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import graph_cache, tensorflow_engine
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.service.throwaway import throwaway_server
from bert_serving.server.verify.comparison import Tolerance, apart, compare_all
from bert_serving.server.verify.reference import find_encoder, reference_vectors
from bert_serving.server.verify.sentences import SENTENCES
from bert_serving.server.verify.served import encode

CKPT = "model.ckpt-343"
VERIFY = [sys.executable, "-m", "bert_serving.server.cli.verify", "-cpu"]


def verify(folder: Path, *options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [*VERIFY, "-model_dir", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env={**os.environ, **(env or {})})


@pytest.mark.parametrize(
    "options",
    [
        "",
        "-pooling_strategy NONE -max_seq_len NONE -mask_cls_sep -num_worker 2",
        "-pooling_strategy REDUCE_MEAN_MAX -pooling_layer -4 -3 -2 -1 -normalize",
        "-pooling_strategy SEP_TOKEN -max_seq_len 12 -no_position_embeddings -cased_tokenization -dtype bfloat16",
        f"-pooling_strategy CLS_POOLED -tuned_model_dir {TUNED} -ckpt_name {CKPT} -fp16",
    ],
    ids=lambda options: options.replace(str(GOLDEN), "") or "defaults",
)
def test_a_server_that_is_right(options: str, family: Family) -> None:
    done = verify(TINY, *options.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert family.members() == []
    server, reference, _, *lines, last = done.stdout.splitlines()
    assert str(TINY) in server
    assert "NumPy" in reference
    assert [line[22:32] for line in lines] == [repr(text)[:10] for text in SENTENCES]
    kind = "each cosine above 0.999" if options.endswith("16") else "no difference above 1e-05"
    assert kind in last
    assert "all 16 sentences are the same" in last


def test_a_real_model(minilm: Path) -> None:
    done = verify(minilm)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "-max_seq_len 256 -normalize" in done.stdout
    has_both = find_spec("torch") is not None and find_spec("transformers") is not None
    assert ("share neither loader nor tokenizer" in done.stdout) == has_both


def test_another_checkpoint_is_found_out() -> None:
    server = throwaway_server(ServerConfig(model_dir=str(TINY), cpu=True))
    found = encode(server, SENTENCES)
    other = tensorflow_engine.resolve(ServerConfig(model_dir=str(TINY), tuned_model_dir=str(TUNED), ckpt_name=CKPT))
    wrong = compare_all(SENTENCES, list(found), reference_vectors(other, find_encoder(other), SENTENCES))
    assert len(apart(wrong, Tolerance.of(server.config))) == len(SENTENCES)


def test_a_graph_of_another_checkpoint_among_those_of_earlier_starts_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a file of ~/.cache/bert-serving had been mixed up: the server serves weights that its folder has not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = tensorflow_engine.resolve(ServerConfig(model_dir=str(TINY), cpu=True))
    tuned = replace(config, tuned_model_dir=str(TUNED), ckpt_name=CKPT, graph_tmp_dir=str(tmp_path))
    shutil.copyfile(
        tensorflow_engine.prepare(tuned, lambda text: None),
        tmp_path
        / "bert-serving"
        / f"{graph_cache.graph_key(config, ModelContent.of(config, find_model(config)))}.graph",
    )
    done = verify(TINY)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "using the graph of an earlier start" in done.stderr
    assert "16 of 16 sentences are NOT the same" in done.stdout.splitlines()[-1]
    assert done.stdout.count("<- NOT THE SAME") == 16


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("-model_dir /no/such/folder", "-model_dir /no/such/folder is not a folder: give the folder of a model"),
        ("-pooling_strategy BEST", "-pooling_strategy"),
        ("-max_seq_len 65", "-max_seq_len 65 is above the model's max_position_embeddings 64"),
        ("-port 5 -port_out 5", "they must differ"),
    ],
)
def test_wrong_options_are_one_line(options: str, says: str) -> None:
    done = verify(TINY, *options.split())
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("bert-serving-verify: error: ")
    assert says in line


def test_a_server_that_cannot_start_is_named_on_the_last_line(tmp_path: Path, family: Family) -> None:
    shutil.copytree(TINY, tmp_path / "model")
    (tmp_path / "model" / "bert_model.ckpt.data-00000-of-00001").write_bytes(b"")
    done = verify(tmp_path / "model")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bert-serving-verify: error: ")
    assert "is a broken checkpoint" in last
    assert family.members() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_too(number: int, family: Family) -> None:
    with subprocess.Popen([*VERIFY, "-model_dir", str(TINY)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while len(family.members()) < 3:  # the first children, long before a model is loaded
            assert process.poll() is None
        process.send_signal(number)
        last = process.stderr.read().splitlines()[-1]
    assert process.returncode == 1
    assert last == "bert-serving-verify: error: stopped before all was compared: run it again"
    end_s = time.monotonic() + 10
    while family.members() and time.monotonic() < end_s:
        time.sleep(0.05)
    assert family.members() == []
