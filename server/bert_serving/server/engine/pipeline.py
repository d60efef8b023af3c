"""A tokenizer as one text, which is sent to the workers and is part of the model's fingerprint. No TensorFlow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Pipeline:
    """The JSON of a `tokenizers` pipeline, and what that does not say.

    `unknown` is the id that a token gets which the vocabulary lacks; None: there is none. `library_pairs`: of a pair
    that is too long, Hugging Face's library keeps other tokens than Google's code. `special_as_text`: a special token
    that is written in a text is text.
    """

    tokenizer: str
    unknown: int | None = None
    library_pairs: bool = True
    special_as_text: bool = False

    def text(self) -> str:
        """What `of` reads."""
        return json.dumps(asdict(self))

    @staticmethod
    def of(text: str) -> Pipeline:
        """What `text` wrote; or the bare JSON of a pipeline, which is that of Google's code."""
        parts = json.loads(text)
        if "tokenizer" in parts:
            return Pipeline(**parts)
        unknown = parts["model"]["vocab"].get(parts["model"]["unk_token"])
        return Pipeline(text, unknown, library_pairs=False)
