"""Keep vectors in a TFRecord file, and read them back as a dataset.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    python example/example6_tfrecord.py

A text's vector is `[D]`. The script also works with a vector for each token, `[T, D]`, which takes T times the space:

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2 -pooling_strategy NONE -max_seq_len 32
    python example/example6_tfrecord.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from arguments import get_parser, server_of
from headlines import read_headlines

from bert_serving.client import BertClient


def write(path: Path, vectors: Any, labels: list[str]) -> None:
    """Write a record for each text: its vector or vectors, and its class."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for vector, label in zip(vectors, labels, strict=True):
            feature = {
                "vector": tf.train.Feature(float_list=tf.train.FloatList(value=vector.ravel())),
                "label": tf.train.Feature(bytes_list=tf.train.BytesList(value=[label.encode()])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def read(path: Path, shape: tuple[int, ...]) -> Any:
    """The dataset in the file. The file has only flat lists of numbers: `shape` restores their form."""
    about = {"vector": tf.io.FixedLenFeature(shape, tf.float32), "label": tf.io.FixedLenFeature([], tf.string)}
    return tf.data.TFRecordDataset(str(path)).map(lambda record: tf.io.parse_single_example(record, about))


def main() -> None:
    parser = get_parser(__doc__)
    parser.add_argument("-output", "--output", type=Path, default=Path("vectors.tfrecord"), help="the file to write")
    args = parser.parse_args()
    headlines, labels = read_headlines()
    with BertClient(**server_of(args)) as bc:
        vectors = bc.encode(headlines)

    level = "sentence, [D]" if vectors.ndim == 2 else "token, [T, D]"
    write(args.output, vectors, labels)
    print(
        f"wrote {vectors.shape} to {args.output}, {args.output.stat().st_size / 1e6:.1f} MB: a vector for each {level}"
    )

    dataset = read(args.output, vectors.shape[1:])
    print(f"read back a dataset of {dataset.element_spec['vector'].shape} vectors")
    records = list(dataset.as_numpy_iterator())
    are_equal = np.array_equal([record["vector"] for record in records], vectors)
    print(f"{len(records)} records, the last one of {records[-1]['label'].decode()}; vectors are equal: {are_equal}")


if __name__ == "__main__":
    main()
