"""A model above 2 GiB, with random weights of XLM-R-large's size: it loads, encodes, and takes the memory that it may.

    python tests/slow/chaos/large_model.py

For `make chaos`; some 3 minutes, 5 GB of disk and 8 GB of memory. Two workers load it side by side. The exit status is
1 if a worker takes more than 1.3 times the weights, beside what TensorFlow takes by itself, before its first product,
or if vectors are not those of the reference in float64.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from random_model import write_model

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.session import GraphSession, load_graph
from bert_serving.server.verify.plain_encoder import PlainEncoder
from bert_serving.server.verify.reference import reference_vectors

SMALL = Path(__file__).parents[2] / "golden" / "architectures" / "xlm_roberta"
SIZES = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "vocab_size": 250_002, "max_position_embeddings": 514,
}  # fmt: skip
TEXTS = ["hello world", "First do it, then do it right, then do it better."]
MOST = 1.3
TOLERANCE = 1e-4
MIB = 2**20
Memory = dict[str, float]


def config_of(folder: Path, **options: Any) -> ServerConfig:
    given = {"model_dir": str(folder), "cpu": True, "pooling_layer": [-1], "graph_tmp_dir": str(folder), **options}
    return ServerConfig.from_mapping(given)


def memory() -> Memory:
    """Of this process, in MiB: the peak, what is its own, what is of files, and its share of all that."""
    status = Path("/proc/self/status").read_text() + Path("/proc/self/smaps_rollup").read_text()
    found = {name: re.search(rf"^{name}:\s+(\d+)", status, re.M) for name in ("VmHWM", "RssAnon", "RssFile", "Pss")}
    return {name: int(match[1]) / 1024 for name, match in found.items() if match}


def say(**said: Any) -> None:
    print(json.dumps(said), flush=True)


# -- processes of their own -------------------------------------------------------------------------------------------


def prepare(folder: str) -> None:
    path = tensorflow_engine.prepare(tensorflow_engine.resolve(config_of(Path(folder))), lambda stage: None)
    say(path=path, memory=memory())


def open_graph(folder: str, path: str) -> None:
    """All of loading that goes before the first product."""
    graph, weights = load_graph(Path(path))
    session = GraphSession(graph, config_of(Path(folder)), weights)
    say(memory=memory())
    session.close()


def work(folder: str, path: str) -> None:
    """A worker: loads, encodes, waits until the other has too, and says what it takes."""
    engine = tensorflow_engine.load(config_of(Path(folder)), path, 1, lambda stage: None)
    start_s = time.perf_counter()
    vectors = engine.run([row for row in engine.features(TEXTS) if isinstance(row, Row)])
    say(vectors=np.asarray(vectors).tolist(), seconds=time.perf_counter() - start_s)
    sys.stdin.readline()
    say(memory=memory())


def reference(folder: str) -> None:
    config = tensorflow_engine.resolve(config_of(Path(folder)))
    vectors = reference_vectors(config, PlainEncoder(config, find_model(config)), TEXTS)
    say(vectors=[vector.tolist() for vector in vectors])


ROLES: dict[str, Callable[..., None]] = {
    "prepare": prepare,
    "open_graph": open_graph,
    "work": work,
    "reference": reference,
}


# -- the whole --------------------------------------------------------------------------------------------------------


def begin(role: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, role, *arguments]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "XDG_CACHE_HOME": f"{arguments[0]}-cache"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("FAILED: a process ended without a word")
    said: dict[str, Any] = json.loads(line)
    return said


def alone(role: str, *arguments: str) -> dict[str, Any]:
    process = begin(role, *arguments)
    said = heard(process)
    process.communicate()
    return said


def shown(name: str, memory: Memory) -> None:
    figures = ", ".join(f"{kind} {value:,.0f}" for kind, value in memory.items())
    print(f"{name:<42} {figures} MiB", flush=True)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="large-model-") as temporary:
        folder, small = Path(temporary) / "large", Path(temporary) / "small"
        folder.mkdir()
        small.mkdir()
        size = write_model(folder, SMALL, SIZES) / MIB
        print(f"{'weights':<42} {size:,.0f} MiB", flush=True)
        for file in SMALL.iterdir():
            (small / file.name).write_bytes(file.read_bytes())
        tensorflow = alone("open_graph", str(small), alone("prepare", str(small))["path"])["memory"]
        shown("TensorFlow itself, with a tiny model", tensorflow)
        prepared = alone("prepare", str(folder))
        shown("the process that prepares the graph", prepared["memory"])
        opened = alone("open_graph", str(folder), prepared["path"])["memory"]
        shown("a worker before its first product", opened)
        workers = [begin("work", str(folder), prepared["path"]) for _ in range(2)]
        said = [heard(worker) for worker in workers]
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        for number, worker in enumerate(workers):
            shown(f"worker {number}, ready, beside the other", heard(worker)["memory"])
            worker.communicate()
        right = np.array(alone("reference", str(folder))["vectors"])
    share = (opened["VmHWM"] - tensorflow["VmHWM"]) / size
    error = max(float(np.abs(np.array(one["vectors"]) - right).max()) for one in said)
    print(f"two texts took {max(one['seconds'] for one in said):.2f} s; largest difference to float64: {error:.1e}")
    print(f"peak before the first product, beside TensorFlow's: {share:.2f} times the weights; allowed are {MOST}")
    is_right = share <= MOST and error <= TOLERANCE
    print("as it should be" if is_right else "FAILED")
    return 0 if is_right else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ROLES[sys.argv[1]](*sys.argv[2:])
    else:
        sys.exit(main())
