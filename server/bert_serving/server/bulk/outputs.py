"""Output files: the content of a spool in a common format, written next to the spool and then moved into place."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import IO, Any

import numpy as np

from bert_serving.server.bulk.errors import BulkError, require
from bert_serving.server.bulk.locations import Location
from bert_serving.server.bulk.records import Source
from bert_serving.server.bulk.spool import Spool
from bert_serving.server.engine.tensors import load_tensorflow

_NO_DATE = (1980, 1, 1, 0, 0, 0)
"""The same bytes for the same vectors, whenever they were made."""


def write_output(location: Location, kind: str, source: Source, spool: Spool) -> int:
    """Write what is in the spool, without what was skipped; how many vectors that is. Raises OSError."""
    number = sum(len(indices) for indices, _ in spool.blocks())
    beside = spool.path.with_suffix(".writing")
    try:
        _WRITERS[kind](beside, source, spool, number)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        location.receive(beside)
    finally:
        beside.unlink(missing_ok=True)
    return number


def output_kind(name: str, kind: str | None) -> str:
    """One of OUTPUT_FORMATS, by default what the name ends in. Raises BulkError, also if a package is missing."""
    kind = kind or _BY_SUFFIX.get(PurePath(name).suffix.lower())
    if kind is None:
        raise BulkError(
            f"{name}: give it a name that ends in {', '.join(_BY_SUFFIX)}, or name the format with -output_format"
        )
    if kind in _NEEDS:
        require(_NEEDS[kind], f"writing {kind}")
    return kind


def _with_texts(source: Source, spool: Spool) -> Iterator[tuple[Any, list[str], Any]]:
    """The blocks of a spool, with the texts between positions and vectors."""
    records = enumerate(source.read())
    for indices, vectors in spool.blocks():
        wanted = set(indices.tolist())
        texts: list[str] = []
        while len(texts) < len(wanted):
            index, record = next(records)
            if index in wanted:
                texts.append(record.text)
        yield indices, texts, vectors


def _write_array(file: IO[bytes], spool: Spool, number: int) -> None:
    """In the format of numpy.save."""
    shape = (number, *spool.shape)
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for _, vectors in spool.blocks():
        file.write(vectors.tobytes())


def _write_npy(path: Path, source: Source, spool: Spool, number: int) -> None:
    with path.open("wb") as file:
        _write_array(file, spool, number)


def _write_npz(path: Path, source: Source, spool: Spool, number: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open(zipfile.ZipInfo("embedding.npy", _NO_DATE), "w", force_zip64=True) as file:
            _write_array(file, spool, number)
        with archive.open(zipfile.ZipInfo("index.npy", _NO_DATE), "w", force_zip64=True) as file:
            indices = [some for some, _ in spool.blocks()]
            np.lib.format.write_array(file, np.concatenate(indices) if indices else np.zeros(0, np.int64))


def _write_json_lines(path: Path, source: Source, spool: Spool, number: int) -> None:
    import orjson

    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    with path.open("wb") as file:
        for indices, texts, vectors in _with_texts(source, spool):
            for index, text, vector in zip(indices.tolist(), texts, vectors, strict=True):
                file.write(orjson.dumps({"index": index, "text": text, "embedding": vector}, option=option))


def _write_parquet(path: Path, source: Source, spool: Spool, number: int) -> None:
    import pyarrow
    import pyarrow.parquet

    sizes = spool.shape
    kind = pyarrow.float32()
    for size in reversed(sizes):
        kind = pyarrow.list_(kind, size)
    schema = pyarrow.schema({"index": pyarrow.int64(), "text": pyarrow.string(), "embedding": kind})
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for indices, texts, vectors in _with_texts(source, spool):
            column = pyarrow.array(vectors.reshape(-1))
            for size in reversed(sizes):
                column = pyarrow.FixedSizeListArray.from_arrays(column, size)
            writer.write_batch(pyarrow.record_batch([pyarrow.array(indices), pyarrow.array(texts), column], schema))


def _write_tfrecord(path: Path, source: Source, spool: Spool, number: int) -> None:
    tf = load_tensorflow()
    train = tf.train
    with tf.io.TFRecordWriter(str(path)) as writer:
        for indices, texts, vectors in _with_texts(source, spool):
            for index, text, vector in zip(indices.tolist(), texts, vectors, strict=True):
                feature = {
                    "index": train.Feature(int64_list=train.Int64List(value=[index])),
                    "text": train.Feature(bytes_list=train.BytesList(value=[text.encode()])),
                    "embedding": train.Feature(float_list=train.FloatList(value=vector.reshape(-1))),
                }
                writer.write(
                    train.Example(features=train.Features(feature=feature)).SerializeToString(deterministic=True)
                )


_WRITERS: dict[str, Callable[[Path, Source, Any, int], None]] = {
    "npy": _write_npy,
    "npz": _write_npz,
    "jsonl": _write_json_lines,
    "parquet": _write_parquet,
    "tfrecord": _write_tfrecord,
}
_BY_SUFFIX = {f".{name}": name for name in _WRITERS}
_NEEDS = {"jsonl": "orjson", "parquet": "pyarrow", "tfrecord": "tensorflow"}
OUTPUT_FORMATS = tuple(_WRITERS)
