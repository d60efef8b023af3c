"""What workers on a Ray cluster of three machines answer: 1.10's vectors to its client, and sentence-transformers' own.

Each start takes seconds, so these are a few of the golden cases' settings, one at least for every part of the engine
that a worker brings along: tokenizer, lengths, mask, vectors of tokens, a fine-tuned checkpoint. BERT_EVERY_SETTING=1
takes all.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from command import Command
from folders import GOLDEN, TINY, TUNED
from golden_cases import CONTENT, cases_of
from minilm import MINILM_TEXTS, minilm_vectors
from ray_machines import Machines

from bert_serving.client import BertClient

pytestmark = pytest.mark.filterwarnings("default")  # Ray has warnings of its own

HERE = Path(__file__).parent
FEW = [
    "",
    "-cased_tokenization -max_seq_len NONE",
    "-mask_cls_sep -pooling_strategy REDUCE_MAX",
    "-pooling_strategy NONE -no_special_token",
    "-tuned_model_dir @TUNED -ckpt_name model.ckpt-343 -pooling_strategy CLS_POOLED",
]
SETTINGS = (
    sorted({" ".join(case["args"]) for case in CONTENT["cases"]}) if os.environ.get("BERT_EVERY_SETTING") else FEW
)


def on(cluster: Machines) -> list[str]:
    """Arguments that put two workers on the cluster."""
    return ["-launcher", "ray", "-ray_address", cluster.address, "-host", "127.0.0.1", "-num_worker", "2"]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting or "defaults")
def test_golden_cases_through_the_published_client(setting: str, cluster: Machines, legacy_client_python: str) -> None:
    names = [case["name"] for case in cases_of(setting)]
    arguments = ["-model_dir", str(TINY), "-cpu", "-show_tokens_to_client", *on(cluster)]
    arguments += setting.replace("@TUNED", str(TUNED)).split()
    with Command(*arguments) as server:
        server.wait_until_ready()
        ports = [str(server.port), str(server.port_out)]
        command = [legacy_client_python, "-I", str(HERE / "legacy_cases.py"), *ports, str(GOLDEN), *names]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"{len(names)} cases are right\n"), done.stderr
    assert names


def test_a_real_model_gives_the_vectors_of_sentence_transformers(cluster: Machines, minilm: Path) -> None:
    """As it does by the local launcher: tests/slow/e2e/test_real_model.py."""
    options = ["-model_dir", str(minilm), "-cpu", "-pooling_layer", "-1", "-no_normalize", *on(cluster)]
    with (
        Command(*options) as server,
        BertClient(**server.wait_until_ready().ports, check_length=False) as client,
    ):
        np.testing.assert_allclose(client.encode(MINILM_TEXTS), minilm_vectors(), rtol=0, atol=1e-5)
