"""Results of a classification head: documents ranked for a query, and labels of texts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bert_serving.client.errors import InvalidInputType, InvalidInputValue, quoted
from bert_serving.client.options import Options


class Hit(NamedTuple):
    """A document: its position in the list that was sent, and its score."""

    index: int  # type: ignore[assignment]  # hides the method of tuples, which says nothing of a hit
    score: float


class Label(NamedTuple):
    """A label of a text, and its score."""

    label: str
    score: float


def ranking(query: Any, documents: Any, top_k: Any = None) -> tuple[list[tuple[str, str]], Options]:
    """The pairs to send, and how. Raises InvalidInput for what are no texts, and for a `top_k` of no use."""
    if not isinstance(query, str):
        raise InvalidInputType(f"query must be a str, not {type(query).__name__}")
    if isinstance(documents, str) or not isinstance(documents, Sequence):
        raise InvalidInputType(f"documents must be a list of str, not {type(documents).__name__}")
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        raise InvalidInputValue(f"top_k must be a whole number above 0, or None for all, not {quoted(top_k)}")
    # of a pair that is too long the query stays whole where it can
    return [(query, document) for document in documents], Options.asked(
        is_pair=True, truncate="second", pooling="REGRESSION"
    )


def hits_of(scores: np.ndarray[Any, Any], top_k: int | None) -> list[Hit]:
    """Best first, of equal ones in the order that they were sent; for scores `[N, 1]`, the first `top_k` of them."""
    order = np.argsort(-scores[:, 0], kind="stable")[:top_k]
    return [Hit(int(index), float(scores[index, 0])) for index in order]


def labels_in(config: Mapping[str, Any]) -> list[str]:
    """The labels of the model of a server with this config. Raises InvalidInputValue if it has none."""
    labels = config.get("labels")
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
        raise InvalidInputValue("the server's model has no labels: serve a model with a classification head")
    return labels


def classifying(labels: Sequence[str]) -> Options:
    """How texts are sent whose labels are wanted."""
    return Options.asked(pooling="CLASSIFICATION" if len(labels) > 1 else "REGRESSION")


def labelled(scores: np.ndarray[Any, Any], labels: Sequence[str]) -> list[list[Label]]:
    """For each text all labels with their scores, best first; for scores `[N, labels]`."""
    orders = np.argsort(-scores, axis=1, kind="stable")
    return [
        [Label(labels[place], float(row[place])) for place in order] for row, order in zip(scores, orders, strict=True)
    ]
