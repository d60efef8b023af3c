"""What HTTP requests hold, as the routes take it and `/docs` shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema

TEXT_FIELDS = frozenset({"texts", "input", "inputs", "documents", "text"})
"""Of all bodies, those that hold the texts."""

MODEL = "one of the names that /v1/models lists; with a single model any name will do, or none"
ROLE = "what the texts are for, such as query or document; chooses one of the model's prompts"
TOO_LONG = (
    "what to do with a text that is too long: cut it (right or left), refuse it (error) or average its parts (chunks)"
)
ModelName = Annotated[str, Query(description="name of the model; needed only if there are several")]
TEXT = {"type": "string", "pattern": r"\S"}
_TOKENS = {"type": "array", "items": TEXT, "minItems": 1}
_IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}


def _list_of(*kinds: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"type": "array", "items": kind, "minItems": 1} for kind in kinds]}


Texts = Annotated[list[Any], WithJsonSchema(_list_of(TEXT, _TOKENS))]
"""Looked into by the client's own check, which names the text that is wrong."""
Input = Annotated[Any, WithJsonSchema({"anyOf": [TEXT, _IDS, *_list_of(TEXT, _IDS)["anyOf"]]})]


Inputs = Annotated[Any, WithJsonSchema({"anyOf": [TEXT, *_list_of(TEXT)["anyOf"]]})]
_DOCUMENT = {"type": "object", "properties": {"text": TEXT}, "required": ["text"]}
Documents = Annotated[list[Any], WithJsonSchema(_list_of(TEXT, _DOCUMENT))]

_VIEW = {
    "type": "object",
    "properties": {
        "pooling": {"type": "string", "examples": ["REDUCE_MEAN"]},
        "layers": {"type": "array", "items": {"type": "integer", "maximum": -1}},
        "normalize": {"type": "boolean"},
        "dimensions": {"type": "integer", "minimum": 1},
    },
}
Views = Annotated[list[Any], WithJsonSchema({"type": "array", "items": _VIEW, "minItems": 1})]


class EncodeBody(BaseModel):
    """Of `POST /encode`, as in 1.10."""

    id: StrictInt | StrictStr | None = Field(None, description="returned with the answer")
    model: StrictStr = Field("", description=MODEL)
    texts: Texts = Field(
        description="texts; lists of tokens with is_tokenized, pairs of texts with is_pair", examples=[["hello world"]]
    )
    is_tokenized: StrictBool = Field(False, description="each text is a list of tokens")
    show_tokens: StrictBool = Field(False, description="also return the tokens; needs -show_tokens_to_client")
    pooling: StrictStr | None = Field(None, description="pooling strategy, such as REDUCE_MEAN; see -pooling_strategy")
    layers: list[StrictInt] | None = Field(None, description="layers to pool; -1 is the last")
    normalize: StrictBool | None = Field(None, description="scale vectors to length 1")
    dimensions: StrictInt | None = Field(None, description="keep only this many numbers of each vector")
    views: Views | None = Field(
        None, description="several vectors of each text, each with its own pooling, layers, normalize and dimensions"
    )
    prompt: StrictStr | None = Field(
        None, description="the name of one of the model's prompts, or a text to put before each text"
    )
    truncate: StrictStr | None = Field(
        None,
        description=f"{TOO_LONG}; second cuts the second text of a pair",
    )
    is_pair: StrictBool = Field(False, description="each item of texts is a list of two texts")
    offsets: StrictBool = Field(
        False, description="also return where each token or chunk starts and ends, in characters"
    )


class EmbeddingsBody(BaseModel):
    """Of `POST /v1/embeddings`, as OpenAI has it."""

    input: Input = Field(
        description="a text, a list of texts, or token ids; see -openai_token_ids", examples=["hello world"]
    )
    model: StrictStr = Field("", description=MODEL)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: StrictInt | None = Field(
        None, ge=1, description="keep only this many numbers of each vector, and scale it to length 1 again"
    )
    prompt: StrictStr | None = Field(
        None, description="the name of one of the model's prompts, or a text to put before each text"
    )
    input_type: StrictStr | None = Field(None, description=ROLE)
    task_type: StrictStr | None = Field(None, description=ROLE)
    task: StrictStr | None = Field(None, description=ROLE)
    prompt_name: StrictStr | None = Field(None, description=ROLE)
    truncate: StrictBool | StrictStr | None = Field(
        None,
        description=TOO_LONG,
    )
    normalize: StrictBool | None = Field(None, description="scale vectors to length 1; Jina calls it normalized")
    normalized: StrictBool | None = Field(None, description="Jina's name for normalize")
    user: StrictStr | None = Field(None, description="ignored")
    late_chunking: StrictBool = Field(False, description="Jina's; true is refused")
    truncate_prompt_tokens: StrictInt | None = Field(None, description="vLLM's; anything but -1 is refused")
    add_special_tokens: StrictBool = Field(True, description="vLLM's; false is refused")
    embedding_type: Any = Field(None, description="Jina's; anything but float is refused")
