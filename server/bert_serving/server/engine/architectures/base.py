"""An architecture: sizes from its config, names of its weights, and the choices that the encoder follows.

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

ACTIVATIONS = (
    "gelu", "gelu_python", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "linear", "relu", "sigmoid", "silu", "swish",
    "tanh",
)  # fmt: skip
"""Names of functions that the graph can build."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class HeadShape:
    """What a classifier's head does before its last product, and what happens to its logits.

    Its dense layer has the name `dense`; an activation follows, and LayerNorm with `norm`. It looks at the first token,
    with `of_mean` at the mean of all. `score` is what a single logit goes through, sigmoid or identity. With
    `is_multi_label` each of several has a probability of its own.
    """

    dense: str = "head/dense"
    activation: str = "tanh"
    norm: bool = False
    of_mean: bool = False
    score: str = "sigmoid"
    is_multi_label: bool = False


@dataclass(frozen=True)
class DenseShape:
    """A dense layer that a text's vector goes through after pooling; with `normalized` scaled to length 1 before it."""

    inputs: int
    outputs: int
    activation: str
    bias: bool
    normalized: bool


@dataclass(frozen=True)
class EncoderShape:
    """The sizes of an encoder, under the names that the literature gives them, and what its layers are made of.

    `positions` is how many tokens a text can have. `types` is 0 where there are no type embeddings.
    `first_position` is the row of the first token in the table of positions; None where there is no such table.
    `embedding` is the width of the embeddings if it is not `hidden`; then a dense layer follows them.
    `groups`: so many sets of weights for all layers, each for a run of them; 0 for one a layer.
    `norm_first`: LayerNorm comes before attention and feed-forward, not after them, and once more after all layers.
    `gated`: the feed-forward's first product has a second half, which the activated first half is multiplied with.
    `relative`: rows of a table with a bias for each head by the distance of two tokens (https://arxiv.org/abs/1910.10683).
    `rotary`: the base by which queries and keys are turned in each layer (https://arxiv.org/abs/2104.09864).
    `windows`: how many tokens to each side a layer sees, None for all.
    `dense`: layers that follow the pooling, in their order; their weights are in files of their own.
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
    first_position: int | None = 0
    embedding: int | None = None
    groups: int = 0
    norm_first: bool = False
    gated: bool = False
    relative: int = 0
    rotary: tuple[float, ...] = ()
    windows: tuple[int | None, ...] = ()
    has_pooler: bool = True
    head: HeadShape = HeadShape("pooler")
    dense: tuple[DenseShape, ...] = ()

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def embedding_width(self) -> int:
        """Width of the embeddings."""
        return self.embedding or self.hidden

    @property
    def position_rows(self) -> int:
        """Rows of the table of positions, 0 if there is none."""
        return 0 if self.first_position is None else self.positions + self.first_position

    def weights_of(self, layer: int) -> str:
        """What the names of a layer's weights begin with."""
        return f"layer_{layer * self.groups // self.layers if self.groups else layer}"


def shape_from(values: Values) -> EncoderShape:
    """The shape that `dataclasses.asdict` made these values of, by way of JSON."""
    dense = tuple(DenseShape(**one) for one in values["dense"])
    tuples = {name: tuple(values[name]) for name in ("rotary", "windows")}
    return EncoderShape(**{**values, **tuples, "head": HeadShape(**values["head"]), "dense": dense})


@dataclass(frozen=True)
class Extent:
    """How much of a model is needed: the lowest `layers`, and what is on top of them."""

    layers: int
    pooler: bool = False
    labels: int = 0


@dataclass(frozen=True)
class Variable:
    """One weight: its name here, in Hugging Face's files and in Google's checkpoints (BERT alone), and its shape.

    `transposed`: PyTorch keeps the kernels of dense layers as [out, in].
    """

    name: str
    hugging_face: str
    google: str
    shape: tuple[int, ...]
    transposed: bool = False


def dense(name: str, path: str, n_in: int, n_out: int, *, bias: bool = True) -> Iterator[Variable]:
    """A dense layer as Hugging Face keeps it."""
    yield Variable(f"{name}/kernel", f"{path}.weight", "", (n_in, n_out), transposed=True)
    if bias:
        yield Variable(f"{name}/bias", f"{path}.bias", "", (n_out,))


def norm(name: str, path: str, width: int, *, bias: bool = True) -> Iterator[Variable]:
    """A LayerNorm as Hugging Face keeps it."""
    yield Variable(f"{name}/scale", f"{path}.weight", "", (width,))
    if bias:
        yield Variable(f"{name}/offset", f"{path}.bias", "", (width,))


def table(name: str, path: str, rows: int, width: int) -> Variable:
    """An embedding table as Hugging Face keeps it."""
    return Variable(name, f"{path}.weight", "", (rows, width))


def embeddings(shape: EncoderShape) -> Iterator[Variable]:
    """The tables that an encoder has, and the LayerNorm over their sum, by the names of Hugging Face's BERT."""
    width = shape.embedding_width
    yield table("embeddings/word", "embeddings.word_embeddings", shape.vocab, width)
    if shape.position_rows:
        yield table("embeddings/position", "embeddings.position_embeddings", shape.position_rows, width)
    if shape.types:
        yield table("embeddings/type", "embeddings.token_type_embeddings", shape.types, width)
    yield from norm("embeddings/norm", "embeddings.LayerNorm", width)


def layer(
    name: str,
    path: str,
    shape: EncoderShape,
    parts: Mapping[str, str],
    *,
    dense_bias: bool = True,
    norm_bias: bool = True,
) -> Iterator[Variable]:
    """One layer of an encoder: `parts` maps the names of its parts here to those below `path` in a file."""
    for part, below in parts.items():
        ours, theirs = f"{name}/{part}", f"{path}.{below}"
        if part.endswith("_norm"):
            yield from norm(ours, theirs, shape.hidden, bias=norm_bias)
        else:
            n_in = shape.intermediate if part == "output" else shape.hidden
            n_out = shape.intermediate if part in _WIDENING else shape.hidden
            yield from dense(ours, theirs, n_in, n_out, bias=dense_bias)


_WIDENING = ("intermediate", "activated", "gate")
"""Parts of a feed-forward that make vectors of the intermediate size."""


def output(path: str, labels: int, width: int, *, google: tuple[str, str] = ("", "")) -> Iterator[Variable]:
    """The last product of a classifier's head."""
    yield Variable("head/kernel", f"{path}.weight", google[0], (labels, width))
    yield Variable("head/bias", f"{path}.bias", google[1], (labels,))


@dataclass(frozen=True)
class Rename:
    """Names of another layout, as a pattern, and what they are here: of several, each is an equal part of the rows."""

    pattern: re.Pattern[str]
    names: tuple[str, ...]

    @staticmethod
    def of(pattern: str, *names: str) -> Rename:
        """Names may have groups of the pattern in them."""
        return Rename(re.compile(pattern), names)


@dataclass(frozen=True)
class Architecture:
    """One row of the table of architectures.

    `shape_of` reads a config (its file's path, for errors) and raises StartError for what cannot be served. `variables`
    is the name table. `prefix` is what files of models with a head put before names; `renames` are names of other
    layouts. What matches `encoder_names` (Hugging Face) or `google_names`, and is not in the name table, is a part that
    would be left out.
    """

    name: str
    shape_of: Callable[[Path, Values], EncoderShape]
    variables: Callable[[EncoderShape, Extent], Iterator[Variable]]
    prefix: str
    encoder_names: re.Pattern[str]
    renames: tuple[Rename, ...] = ()
    google_names: re.Pattern[str] | None = None


# -- for the modules of the families ----------------------------------------------------------------------------------


def size_in(path: Path, values: Values, name: str, default: int | None = None) -> int:
    """A size from a config. Raises StartError unless it is a whole number of at least 1."""
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise StartError(f"{path}: {name} must be a whole number of at least 1, not {json.dumps(value)}")
    return value


def activation_in(path: Path, values: Values, name: str, default: str = "gelu") -> str:
    """The name of an activation that the graph can build. Raises StartError."""
    value = values.get(name, default)
    if value not in ACTIVATIONS:
        raise StartError(f"{path}: {name} {json.dumps(value)} is not supported, only {', '.join(ACTIVATIONS)}")
    return str(value)


def epsilon_in(path: Path, values: Values, name: str, default: float) -> float:
    """What LayerNorm adds to the variance. Raises StartError."""
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise StartError(f"{path}: {name} must be a small number, not {json.dumps(value)}")
    return float(value)


def rotary_base_in(path: Path, values: Values, name: str, default: float) -> float:
    """The base of rotary positions, by its old name or within `rope_parameters`. Raises StartError."""
    about = values.get("rope_parameters") or {}
    scaling = values.get("rope_scaling") or about.get("rope_type", "default")
    if scaling != "default":
        raise StartError(f"{path}: scaled rotary positions ({json.dumps(scaling)}) are not supported")
    base = about.get("rope_theta", values.get(name, default))
    if isinstance(base, bool) or not isinstance(base, (int, float)) or base <= 1:
        raise StartError(f"{path}: the base of rotary positions must be a number above 1, not {json.dumps(base)}")
    return float(base)


def check_heads(path: Path, hidden: tuple[str, int], heads: tuple[str, int]) -> None:
    """Each head gets a whole number of the hidden width; sizes with their names. Raises StartError."""
    if hidden[1] % heads[1]:
        raise StartError(f"{path}: {hidden[0]} {hidden[1]} is not a multiple of {heads[0]} {heads[1]}: copy it again")


def refuse_others(path: Path, values: Values, usual: Values) -> None:
    """Raises StartError if the config has another value than the usual one, the only one that can be served."""
    for name, value in usual.items():
        if (found := values.get(name, value)) != value:
            raise StartError(
                f"{path}: {name} is {json.dumps(found)}, but only {json.dumps(value)} can be served: use another model"
            )
