"""What a dialect has to know of a service's model before it can ask: its prompts, its labels. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bert_serving.client.errors import InvalidInput
from bert_serving.client.fingerprints import fingerprint_in
from bert_serving.client.scores import labels_in
from bert_serving.server.gateway.problems import Problem


@dataclass(frozen=True)
class Facts:
    """What a service's status or config, which is `said`, tells of its model."""

    said: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Of the model that all this is said of; empty if that is not known."""
        return fingerprint_in(self.said)

    @property
    def prompts(self) -> dict[str, str]:
        """By their names."""
        return dict(self.said.get("prompts") or {})

    @property
    def labels(self) -> list[str]:
        """Of the model's head. Problem 400 if it has none."""
        try:
            return labels_in(self.said)
        except InvalidInput as error:
            raise Problem(400, str(error)) from None

    @property
    def has_head(self) -> bool:
        """Whether the model scores texts, or pairs of texts."""
        return bool(self.said.get("labels"))

    @property
    def normalizes(self) -> bool:
        """Whether vectors have length 1 unless a request says otherwise."""
        return bool(self.said.get("normalize"))

    @property
    def shows_tokens(self) -> bool:
        """Whether answers may have tokens."""
        return bool(self.said.get("show_tokens_to_client"))
