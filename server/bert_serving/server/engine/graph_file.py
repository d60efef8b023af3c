"""The file that `prepare` writes and workers load: the weights of a graph, the graph, and at the end where each is.

Weights are mapped, never read: a worker's memory while it loads is hardly more than that of TensorFlow, the workers of
one machine share them, and no limit of protobuf bounds a model. The end is written last: a truncated file has none.
No TensorFlow here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from bert_serving.server.errors import StartError

_MAGIC = b"bert-serving graph 1\n"
_ALIGNMENT = 64
"""Bytes. TensorFlow copies what does not begin at a multiple of it."""
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Held:
    """Where an array is in the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


class GraphFileWriter:
    """Writes such a file to a stream, one array after the other. All methods may raise OSError."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._weights: dict[str, Held] = {}

    def add(self, name: str, array: np.ndarray[Any, Any]) -> None:
        """Write an array of any layout; no two may have the same name."""
        assert name not in self._weights, name
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._stream.write(b"\0" * (-self._stream.tell() % _ALIGNMENT))
        self._weights[name] = Held(array.dtype.name, array.shape, self._stream.tell(), content.nbytes)
        self._stream.write(content.data)

    def finish(self, graph: bytes) -> None:
        """Write the graph and the end."""
        index = {
            "weights": {name: asdict(held) for name, held in self._weights.items()},
            "graph": [self._stream.tell(), len(graph)],
        }
        end = json.dumps(index).encode()
        self._stream.write(graph + end + len(end).to_bytes(_LENGTH_BYTES, "little") + _MAGIC)


@dataclass(frozen=True)
class GraphFile:
    """What is in such a file: the serialized graph, and its weights by name, mapped and not read."""

    graph: bytes
    weights: Mapping[str, np.ndarray[Any, Any]]


def read_graph_file(path: Path, dtype_of: Callable[[str], Any]) -> GraphFile:
    """Map a file; `dtype_of` makes NumPy's type of a name, for NumPy itself knows no bfloat16.

    Raises:
        StartError: it cannot be read, was cut, or is something else.
    """
    try:
        mapped = np.memmap(path, np.uint8, "r")
        index = _index(mapped)
    except OSError as error:
        raise StartError(f"the graph {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StartError(f"{path} is not a graph, or is truncated ({error}): restart, and it is built again") from error

    def array(held: Held) -> np.ndarray[Any, Any]:
        array: np.ndarray[Any, Any] = np.ndarray(held.shape, dtype_of(held.dtype), mapped, held.offset)
        return array

    begin, size = index["graph"]
    held = {name: Held(**values) for name, values in index["weights"].items()}
    return GraphFile(mapped[begin : begin + size].tobytes(), {name: array(one) for name, one in held.items()})


def is_whole(path: Path) -> bool:
    """Whether such a file is there, with its end."""
    try:
        _index(np.memmap(path, np.uint8, "r"))
    except (OSError, ValueError):
        return False
    return True


def _index(mapped: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, Any]:
    """What the end says; ValueError if it says nothing, or does not match what precedes it."""
    tail = _LENGTH_BYTES + len(_MAGIC)
    end = mapped[-tail:].tobytes()
    if not end.endswith(_MAGIC):
        raise ValueError("its end is missing")
    begin = len(mapped) - tail - int.from_bytes(end[:_LENGTH_BYTES], "little")
    index: dict[str, Any] = json.loads(mapped[max(begin, 0) : -tail].tobytes())
    if sum(index["graph"]) != begin:
        raise ValueError("a part of it is missing")
    return index
