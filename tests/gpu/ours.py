"""This project's engine, for `make gpu`: `python -m gpu.ours FOLDER [--rehearse]`."""

from __future__ import annotations

import os
import sys

from bert_serving.server.config import ServerConfig
from bert_serving.server.devices import device_environment
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.contract import Row
from gpu.timing import Ids, measure


def main() -> None:
    folder, rehearses = sys.argv[1], "--rehearse" in sys.argv[2:]
    os.environ.update(device_environment(None if rehearses else 0, verbose=False))
    given = {
        "model_dir": folder, "cpu": rehearses, "dtype": "float32" if rehearses else "bfloat16", "max_seq_len": 512,
        "pooling_layer": [-1], "gpu_memory_fraction": 0.9, "graph_tmp_dir": folder,
    }  # fmt: skip
    config = tensorflow_engine.resolve(ServerConfig.from_mapping(given))
    prepared = tensorflow_engine.prepare(config, lambda stage: None)
    engine = tensorflow_engine.load(config, prepared, 1, lambda stage: None)
    if not engine.on_gpu and not rehearses:
        sys.exit("TensorFlow sees no GPU: pip install './server[gpu]'")

    def run(ids: Ids) -> object:
        return engine.run([Row(row.tolist(), len(row), ()) for row in ids])

    measure(run, folder)
    engine.close()


if __name__ == "__main__":
    main()
