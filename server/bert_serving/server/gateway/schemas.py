"""What HTTP requests hold, as the routes take it and `/docs` shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema

TEXT_FIELDS = frozenset({"texts", "input"})
"""Of all bodies, those that hold the texts."""

_TEXT = {"type": "string", "pattern": r"\S"}
_TOKENS = {"type": "array", "items": _TEXT, "minItems": 1}
_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}


def _list_of(*kinds: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"type": "array", "items": kind, "minItems": 1} for kind in kinds]}


Texts = Annotated[list[Any], WithJsonSchema(_list_of(_TEXT, _TOKENS))]
"""Looked into by the client's own check, which names the text that is wrong."""
Input = Annotated[Any, WithJsonSchema({"anyOf": [_TEXT, _IDS, *_list_of(_TEXT, _IDS)["anyOf"]]})]


class EncodeBody(BaseModel):
    """Of `POST /encode`, as in 1.10."""

    id: StrictInt | StrictStr | None = Field(None, description="comes back with the answer")
    texts: Texts = Field(description="texts, or lists of tokens if is_tokenized", examples=[["hello world"]])
    is_tokenized: StrictBool = Field(False, description="each text is a list of tokens")
    show_tokens: StrictBool = Field(False, description="also return the tokens (-show_tokens_to_client)")


class EmbeddingsBody(BaseModel):
    """Of `POST /v1/embeddings`, as OpenAI has it."""

    input: Input = Field(description="a text, a list of texts, token ids, or a list of such", examples=["hello world"])
    model: StrictStr = Field("", description="any name: the server has one model")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: StrictInt | None = Field(None, ge=1, description="the first so many, scaled to length 1")
    user: StrictStr | None = None
