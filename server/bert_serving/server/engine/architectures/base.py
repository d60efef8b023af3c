"""What an architecture is: sizes from its config, names of its weights, and the choices that the encoder heeds.

No TensorFlow. The encoder itself is in `engine/encoder.py`, for all of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_serving.server.errors import StartError

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
"""Values of `hidden_act` that the graph can build."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class EncoderShape:
    """The sizes of an encoder, under the names that the literature gives them.

    `positions` is how many tokens a text can have. `types` is 0 where there are no type embeddings.
    """

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocab: int
    positions: int
    types: int
    activation: str
    epsilon: float

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads


@dataclass(frozen=True)
class Extent:
    """How much of a model is needed: the lowest `layers`, and what stands on top of them."""

    layers: int
    pooler: bool = False
    labels: int = 0


@dataclass(frozen=True)
class Variable:
    """One weight: its name here, in Hugging Face's files and in Google's checkpoints, and its shape.

    `transposed`: PyTorch keeps the kernels of dense layers as [out, in].
    """

    name: str
    hugging_face: str
    google: str
    shape: tuple[int, ...]
    transposed: bool = False


@dataclass(frozen=True)
class Architecture:
    """One row of the table of architectures.

    `shape_of` reads a config (its file's path, for errors) and raises StartError for what cannot be served. `variables`
    is the name table. `prefix` is what files of models with a head put before names. What matches `encoder_names`
    (Hugging Face) or `google_names`, and is not in the name table, is a part that would be left out.
    """

    name: str
    shape_of: Callable[[Path, Values], EncoderShape]
    variables: Callable[[EncoderShape, Extent], Iterator[Variable]]
    prefix: str
    encoder_names: re.Pattern[str]
    google_names: re.Pattern[str] | None = None


# -- for the modules of the families ----------------------------------------------------------------------------------


def size_in(path: Path, values: Values, name: str) -> int:
    """A size from a config. Raises StartError unless it is a whole number of at least 1."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise StartError(f"{path}: {name} must be a whole number of at least 1, not {json.dumps(value)}")
    return value


def activation_in(path: Path, values: Values, name: str) -> str:
    """The name of an activation that the graph can build; "gelu" if the config has none. Raises StartError."""
    value = values.get(name, "gelu")
    if value not in ACTIVATIONS:
        raise StartError(f"{path}: {name} {json.dumps(value)} is not supported, only {', '.join(ACTIVATIONS)}")
    return str(value)


def epsilon_in(path: Path, values: Values, name: str, default: float) -> float:
    """What LayerNorm adds to the variance. Raises StartError."""
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise StartError(f"{path}: {name} must be a small number, not {json.dumps(value)}")
    return float(value)


def check_heads(path: Path, hidden: tuple[str, int], heads: tuple[str, int]) -> None:
    """Each head gets a whole number of the hidden width; sizes with their names. Raises StartError."""
    if hidden[1] % heads[1]:
        raise StartError(f"{path}: {hidden[0]} {hidden[1]} is no multiple of {heads[0]} {heads[1]}: copy it again")
