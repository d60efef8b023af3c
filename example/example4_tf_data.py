"""A tf.data pipeline that encodes texts on the fly.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    python example/example4_tf_data.py

It reads lines of JSON, `{"text": .., "label": ..}`, and yields batches of vectors and class numbers, as the `fit` of a
Keras model needs them. Several batches are under way at once, each over one connection of a ConcurrentBertClient.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from arguments import get_parser, server_of
from headlines import read_headlines

from bert_serving.client import ConcurrentBertClient

BATCH_SIZE = 32
NUM_CALLS = 4
SEED = 1
LABELS = ["business", "science", "sports", "health"]


def write_json_lines(path: Path) -> None:
    records = [json.dumps({"text": text, "label": label}) for text, label in zip(*read_headlines(), strict=True)]
    path.write_text("\n".join(records) + "\n", "utf-8")


def encoded(path: Path, bc: ConcurrentBertClient) -> Any:
    """The dataset of a file: vectors `[B, D]` and class numbers `[B]`."""
    length = bc.encode(["any text"]).shape[1]

    def encode(lines: Any) -> tuple[Any, Any]:
        records = [json.loads(line) for line in lines]
        vectors = bc.encode([record["text"] for record in records])
        return vectors, np.array([LABELS.index(record["label"]) for record in records])

    def with_vectors(lines: Any) -> tuple[Any, Any]:
        vectors, labels = tf.numpy_function(encode, [lines], [tf.float32, tf.int64])
        return tf.ensure_shape(vectors, [None, length]), tf.ensure_shape(labels, [None])  # Keras must know the shapes

    options = tf.data.Options()
    options.threading.private_threadpool_size = NUM_CALLS  # otherwise one for each core, although they only wait
    lines = tf.data.TextLineDataset(str(path)).shuffle(1000, seed=SEED).batch(BATCH_SIZE)
    return lines.map(with_vectors, num_parallel_calls=NUM_CALLS).prefetch(NUM_CALLS).with_options(options)


def main() -> None:
    args = get_parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder, ConcurrentBertClient(NUM_CALLS, **server_of(args)) as bc:
        path = Path(folder, "headlines.jsonl")
        write_json_lines(path)
        dataset = encoded(path, bc)
        print(f"a dataset of {dataset.element_spec[0].shape} vectors, {dataset.element_spec[1].shape} classes")
        for vectors, labels in dataset:
            counts = zip(np.bincount(labels, minlength=len(LABELS)), LABELS, strict=True)
            print(f"{vectors.shape}: {', '.join(f'{count} {label}' for count, label in counts)}")
        print(f"encoded over {bc.status['num_connection']} connections")


if __name__ == "__main__":
    main()
