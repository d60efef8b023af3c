"""The pooling strategies: their names, and what each needs from the model. `engine/pooling.py` computes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto


class PoolingStrategy(IntEnum):
    """How the vectors of a text's tokens become one vector. The numbers are those that 1.10 shows in its config."""

    NONE = 0
    REDUCE_MAX = 1
    REDUCE_MEAN = 2
    REDUCE_MEAN_MAX = 3
    FIRST_TOKEN = 4
    CLS_TOKEN = 4
    LAST_TOKEN = 5
    SEP_TOKEN = 5
    CLS_POOLED = 6
    CLASSIFICATION = 7
    REGRESSION = 8
    LOGITS = 9
    REDUCE_MEAN_SQRT = 10
    WEIGHTED_MEAN = 11

    @staticmethod
    def from_name(name: str) -> PoolingStrategy:
        """The strategy of that name, or ValueError."""
        try:
            return PoolingStrategy[name]
        except KeyError:
            raise ValueError(f"must be one of {', '.join(PoolingStrategy.__members__)}, not {name!r}") from None


class Needs(Enum):
    """What a strategy is computed from."""

    TOKENS = auto()
    """The token vectors of the pooled layers."""
    POOLER = auto()
    """The pooler on the last layer."""
    HEAD = auto()
    """A classifier's head on the last layer."""


@dataclass(frozen=True)
class Strategy:
    """One row of the table.

    A vector is `widths` times as wide as the pooled layers; from a head it has `labels` numbers, None for as many as
    `-num_labels` says.
    """

    needs: Needs = Needs.TOKENS
    widths: int = 1
    labels: int | None = None


STRATEGIES = {
    PoolingStrategy.NONE: Strategy(),
    PoolingStrategy.REDUCE_MEAN: Strategy(),
    PoolingStrategy.REDUCE_MAX: Strategy(),
    PoolingStrategy.REDUCE_MEAN_MAX: Strategy(widths=2),
    PoolingStrategy.FIRST_TOKEN: Strategy(),
    PoolingStrategy.LAST_TOKEN: Strategy(),
    PoolingStrategy.CLS_POOLED: Strategy(Needs.POOLER),
    PoolingStrategy.CLASSIFICATION: Strategy(Needs.HEAD),
    PoolingStrategy.REGRESSION: Strategy(Needs.HEAD, labels=1),
    PoolingStrategy.LOGITS: Strategy(Needs.HEAD),
    PoolingStrategy.REDUCE_MEAN_SQRT: Strategy(),
    PoolingStrategy.WEIGHTED_MEAN: Strategy(),
}
