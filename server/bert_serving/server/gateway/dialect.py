"""What the fields of the dialects mean as options of a request: roles, where a long text is cut, one view. Pure.

Clients say what a text is for in several words, which stand for a prompt of the model. A role that the model has no
prompt for is refused where the model has prompts. Where it has none, a role changes nothing: such a model was trained
without, and its vectors are the same for queries and documents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bert_serving.client.errors import quoted
from bert_serving.client.options import Options
from bert_serving.server.gateway.problems import Problem

_SYNONYMS = (
    frozenset({"query", "search_query", "retrieval_query"}),
    frozenset({"document", "passage", "search_document", "retrieval_document", "retrieval_passage"}),
)
_OTHER_ROLES = frozenset({"classification", "clustering", "separation", "text_matching", "semantic_similarity"})
ROLES = frozenset.union(*_SYNONYMS, _OTHER_ROLES)
"""What clients call that which a text is for."""

_CUTS = {"end": "right", "start": "left", "none": "error"}
"""Where a long text is cut, as NVIDIA's and Cohere's clients say it."""
_DIRECTIONS = ("right", "left")


def prompt_of(prompts: Mapping[str, str], prompt: str | None = None, **roles: str | None) -> str | None:
    """The prompt to ask for: `prompt` as it is, or the name of the model's own for the role in one of the other fields.

    None if nothing was said, or a role means nothing to this model. Problem 422 if the fields want different prompts,
    400 if the model's prompts have none for a role.
    """
    found = {field: _named(prompts, field, role) for field, role in roles.items() if role}
    if prompt is not None:
        found = {"prompt": prompt, **found}
    if len(set(found.values())) > 1:
        raise Problem(422, f"{' and '.join(found)} want different prompts: send one of them", param=[*found][-1])
    return next(iter(found.values()), None)


def _named(prompts: Mapping[str, str], field: str, role: str) -> str | None:
    if role in prompts:
        return role
    plain = _plain(role)
    if not prompts and plain in ROLES:
        return None
    same = next((group for group in _SYNONYMS if plain in group), frozenset({plain}))
    for name in prompts:
        if _plain(name) in same:
            return name
    known = f"it has {', '.join(map(quoted, prompts))}" if prompts else "it has none"
    raise Problem(400, f"{field}: the model has no prompt for {quoted(role)}, {known}", param=field)


def _plain(role: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", role.lower())


def truncate_of(truncate: bool | str | None, direction: str | None = None) -> str | None:
    """The option `truncate` of what clients send under that name: a switch, or a word; None as the server does.

    Problem 422 for a `direction` that is none.
    """
    if direction is not None and direction.lower() not in _DIRECTIONS:
        text = f"truncation_direction must be one of {', '.join(_DIRECTIONS)}, not {quoted(direction)}"
        raise Problem(422, text, param="truncation_direction")
    if truncate is False:
        return "error"
    if isinstance(truncate, str):
        return _CUTS.get(truncate.lower(), truncate.lower())
    return None if direction is None else direction.lower()


def vectors_as(
    *, normalizes: bool, normalize: bool | None = None, dimensions: int | None = None, **others: Any
) -> Options:
    """Options of vectors; a view only where they are to differ from those of a server that `normalizes`, or does not.

    Vectors that are cut to `dimensions` have length 1 unless it is said that they have not. Raises InvalidInputValue.
    """
    if normalize is None and dimensions is not None:
        normalize = True
    if dimensions is None and normalize in (None, normalizes):
        return Options.asked(**others)
    return Options.asked(normalize=normalize, dimensions=dimensions, **others)


def one_of(given: Any, field: str) -> list[str]:
    """A text, or a list of texts, as a list. Problem 400 if it is empty, 422 for what is none."""
    if given in ("", []):
        raise Problem(400, f"{field} is empty: give a text, or a list of texts", param=field)
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        raise Problem(422, f"{field} must be a text or a list of texts, not {type(given).__name__}", param=field)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            what = f"{field}[{index}] must be a text, not {type(text).__name__}"
            raise Problem(422, what, param=field, index=index)
    return texts
