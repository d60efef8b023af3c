"""`bert-serving-encode` to TFRecord, as TensorFlow reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet
from encode_command import TEXTS, Encode, where
from fake_engine import DIM, expected
from serving import Serve


def test_tfrecord_and_matrices(serve: Serve, tmp_path: Path) -> None:
    import tensorflow as tf

    run, server = Encode(tmp_path), serve(pooling_strategy="NONE", max_seq_len=12)
    for name in ("out.tfrecord", "out.parquet", "out.npy"):
        done = run("in.txt", name, *where(server))
        assert done.returncode == 0, done.stderr
    about = {"index": tf.io.FixedLenFeature([], tf.int64), "embedding": tf.io.FixedLenFeature([12, DIM], tf.float32)}
    matrices = np.load(tmp_path / "out.npy")
    assert matrices.shape == (2500, 12, DIM)
    np.testing.assert_array_equal(matrices[7, : len(TEXTS[7])], np.repeat(expected([TEXTS[7]]), len(TEXTS[7]), 0))
    (records,) = tf.data.TFRecordDataset(str(tmp_path / "out.tfrecord")).batch(len(TEXTS) + 1)
    examples = tf.io.parse_example(records, about)
    assert examples["index"].numpy().tolist() == list(range(len(TEXTS)))
    np.testing.assert_array_equal(examples["embedding"].numpy(), matrices)
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")["embedding"].to_pylist()
    np.testing.assert_array_equal(np.array(table, np.float32), matrices)
    refused = run("in.txt", "other.npy", *where(serve(pooling_strategy="NONE", max_seq_len=None)))
    assert (refused.returncode, "set -max_seq_len to a number" in refused.stderr) == (1, True)
