"""Output files: what the spool holds, in a format that others read, written beside its place and moved there."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from bert_serving.server.bulk.errors import BulkError, require
from bert_serving.server.bulk.records import Source
from bert_serving.server.bulk.spool import Kind
from bert_serving.server.engine.tensors import load_tensorflow

_BLOCK_ROWS = 4096
_NO_DATE = (1980, 1, 1, 0, 0, 0)
"""The same bytes for the same vectors, whenever they were made."""


def write_output(path: Path, kind: str, source: Source, rows: Any) -> int:
    """Write `rows` of a spool, without those that were skipped; how many these are. Raises OSError."""
    number = int((rows["kind"] != Kind.SKIPPED).sum())
    beside = path.with_name(f"{path.name}.writing")
    try:
        _WRITERS[kind](beside, source, rows, number)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return number


def output_kind(path: Path, kind: str | None) -> str:
    """One of OUTPUT_FORMATS, by default what the name ends in. Raises BulkError, also if a package is missing."""
    kind = kind or _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise BulkError(f"{path}: end its name in {', '.join(_BY_SUFFIX)}, or name the format by -output_format")
    if kind in _NEEDS:
        require(_NEEDS[kind], f"writing {kind}")
    return kind


def _blocks(rows: Any) -> Iterator[tuple[Any, Any]]:
    """Positions and vectors of what was not skipped, some thousands at a time."""
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = np.array(rows[start : start + _BLOCK_ROWS])
        kept = np.flatnonzero(block["kind"] != Kind.SKIPPED)
        yield kept + start, np.ascontiguousarray(block["vector"][kept])


def _with_texts(source: Source, rows: Any) -> Iterator[tuple[Any, list[str], Any]]:
    """The same with the texts."""
    records = enumerate(source.read())
    for places, vectors in _blocks(rows):
        wanted = set(places.tolist())
        texts: list[str] = []
        while len(texts) < len(wanted):
            place, record = next(records)
            if place in wanted:
                texts.append(record.text)
        yield places, texts, vectors


def _write_array(file: IO[bytes], rows: Any, number: int) -> None:
    """In the format of numpy.save."""
    shape = (number, *rows.dtype["vector"].shape)
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for _, vectors in _blocks(rows):
        file.write(vectors.tobytes())


def _write_npy(path: Path, source: Source, rows: Any, number: int) -> None:
    with path.open("wb") as file:
        _write_array(file, rows, number)


def _write_npz(path: Path, source: Source, rows: Any, number: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open(zipfile.ZipInfo("embedding.npy", _NO_DATE), "w", force_zip64=True) as file:
            _write_array(file, rows, number)
        with archive.open(zipfile.ZipInfo("index.npy", _NO_DATE), "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.flatnonzero(rows["kind"] != Kind.SKIPPED))


def _write_json_lines(path: Path, source: Source, rows: Any, number: int) -> None:
    import orjson

    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    with path.open("wb") as file:
        for places, texts, vectors in _with_texts(source, rows):
            for place, text, vector in zip(places.tolist(), texts, vectors, strict=True):
                file.write(orjson.dumps({"index": place, "text": text, "embedding": vector}, option=option))


def _write_parquet(path: Path, source: Source, rows: Any, number: int) -> None:
    import pyarrow
    import pyarrow.parquet

    sizes = rows.dtype["vector"].shape
    kind = pyarrow.float32()
    for size in reversed(sizes):
        kind = pyarrow.list_(kind, size)
    schema = pyarrow.schema({"index": pyarrow.int64(), "text": pyarrow.string(), "embedding": kind})
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for places, texts, vectors in _with_texts(source, rows):
            column = pyarrow.array(vectors.reshape(-1))
            for size in reversed(sizes):
                column = pyarrow.FixedSizeListArray.from_arrays(column, size)
            writer.write_batch(pyarrow.record_batch([pyarrow.array(places), pyarrow.array(texts), column], schema))


def _write_tfrecord(path: Path, source: Source, rows: Any, number: int) -> None:
    tf = load_tensorflow()
    train = tf.train
    with tf.io.TFRecordWriter(str(path)) as writer:
        for places, texts, vectors in _with_texts(source, rows):
            for place, text, vector in zip(places.tolist(), texts, vectors, strict=True):
                feature = {
                    "index": train.Feature(int64_list=train.Int64List(value=[place])),
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
