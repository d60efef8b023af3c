"""Which vectors a request asks for. Pure; a `View` in Python, a JSON object on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

MOST_VIEWS = 16
MOST_LAYERS = 64
MOST_DIMENSIONS = 1 << 20
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class View:
    """One vector for each text; a field that is None has the value that the server was started with.

    `pooling` names a strategy, as `-pooling_strategy` does; `layers` are the layers to pool, -1 is the last.
    A vector is cut to its first `dimensions` numbers, then scaled to length 1 if `normalize` is true.
    """

    pooling: str | None = None
    layers: Sequence[int] | None = None
    normalize: bool | None = None
    dimensions: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError that names the field."""
        pooling, layers = self.pooling, self.layers
        if pooling is not None and not (isinstance(pooling, str) and 0 < len(pooling) <= _LONGEST_NAME):
            raise ValueError("pooling must be the name of a strategy, such as REDUCE_MEAN")
        if layers is not None:
            if not _are_layers(layers):
                raise ValueError(f"layers must be 1 to {MOST_LAYERS} different negative whole numbers, such as [-2]")
            object.__setattr__(self, "layers", tuple(layers))
        if self.normalize is not None and not isinstance(self.normalize, bool):
            raise ValueError("normalize must be true or false")
        if self.dimensions is not None and not (type(self.dimensions) is int and 0 < self.dimensions < MOST_DIMENSIONS):
            raise ValueError("dimensions must be a whole number above 0")

    @staticmethod
    def of(value: Any) -> View:
        """A view, or one as `as_json` writes it. Raises ValueError."""
        if isinstance(value, View):
            return value
        if not isinstance(value, Mapping):
            raise ValueError("each view must be a View, or an object with its fields")
        known = [one.name for one in fields(View)]
        if unknown := [name for name in value if name not in known]:
            raise ValueError(f"a view has no {str(unknown[0])[:_LONGEST_NAME]!r}; its fields are {', '.join(known)}")
        return View(**value)

    def as_json(self) -> dict[str, Any]:
        """What was said, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def _are_layers(layers: Any) -> bool:
    return (
        isinstance(layers, (list, tuple))
        and 0 < len(layers) <= MOST_LAYERS
        and all(type(layer) is int and layer < 0 for layer in layers)
        and len(set(layers)) == len(layers)
    )


def views_of(value: Any) -> tuple[View, ...]:
    """The views of a list. Raises ValueError."""
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= MOST_VIEWS:
        raise ValueError(f"views must be a list of 1 to {MOST_VIEWS}")
    return tuple(map(View.of, value))
