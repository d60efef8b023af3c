"""The classifier in a model's config: its labels, and what happens to a logit. No TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bert_serving.server.engine.architectures.base import Values
from bert_serving.server.errors import StartError

_HEAD = "ForSequenceClassification"
_NO_LABELS: tuple[str, ...] = ()


def labels_in(path: Path, values: Values) -> tuple[str, ...]:
    """The names of the labels, in the order of the logits; none if the model has no head. Raises StartError."""
    if not any(str(name).endswith(_HEAD) for name in values.get("architectures") or ()):
        return _NO_LABELS
    by_number = values.get("id2label")
    if by_number is None:
        return tuple(f"LABEL_{number}" for number in range(values.get("num_labels") or 2))
    try:
        names = {int(number): str(name) for number, name in by_number.items()}
        return tuple(names[number] for number in range(len(names)))
    except (AttributeError, KeyError, ValueError):
        raise StartError(
            f"{path}: id2label must name the labels 0, 1 and so on, not {json.dumps(by_number)[:100]}: copy it again"
        ) from None


def score_in(path: Path, values: Values, named: str | None = None) -> str:
    """What a single label's logit becomes: "sigmoid", or "identity" if the folder says so. Raises StartError.

    As sentence-transformers' CrossEncoder has it: `sentence_transformers.activation_fn`, or in older folders
    `sbert_ce_default_activation_function`, each the path of a class of PyTorch. `named` is one that another file of the
    folder names, which comes first.
    """
    about: Any = values.get("sentence_transformers")
    named = named or (about.get("activation_fn") if isinstance(about, dict) else None)
    named = named or values.get("sbert_ce_default_activation_function")
    if named is None:
        return "sigmoid"
    function = str(named).rpartition(".")[2].lower()
    if function not in ("sigmoid", "identity") or not str(named).startswith("torch.nn."):
        raise StartError(
            f"{path}: the scores of this model go through {named}, but only torch's Sigmoid and Identity can be served"
        )
    return function


def is_multi_label(values: Values) -> bool:
    """Whether each label has a probability of its own: several may be true of a text."""
    return values.get("problem_type") == "multi_label_classification"
