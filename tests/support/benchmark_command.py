"""`bert-serving-benchmark` as a person runs it, in a folder with a file of texts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from matplotlib.image import imread

RUN = ["-m", "bert_serving.server.cli.benchmark"]
BARE = [
    "-c",
    "import sys; sys.modules['matplotlib'] = sys.modules['tqdm'] = None; "
    "from bert_serving.server.cli.benchmark import main; main()",
]
NOTHING_VARIED = [f"-test_{name}" for name in ("max_batch_size", "max_seq_len", "pooling_layer", "num_client")]
SHORT = ["-duration", "0.3", "-num_repeat", "2", "-client_batch_size", "16", "-interactive_rate", "20"]


def with_texts(folder: Path) -> Path:
    """The folder, with a file of texts in it."""
    words = "First do it. Then do it right, as well as you can! Then do it better? A sentence of the usual length."
    (folder / "texts.txt").write_text(words)
    return folder


def benchmark(folder: Path, *options: str, how: list[str] = RUN) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *how, "-client_vocab_file", "texts.txt", *SHORT, *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)


def tables_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    content = json.loads((folder / "benchmark" / "benchmark.json").read_text())
    return {table["name"]: table["points"] for table in content["tables"]}


def assert_image(path: Path) -> None:
    if path.suffix == ".svg":
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    else:
        pixels = imread(path)
        assert pixels.shape[0] > 500
        assert pixels.shape[1] > 800
        assert pixels.std() > 0.01
