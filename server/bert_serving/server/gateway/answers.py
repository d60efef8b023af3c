"""What `/docs` says of answers: what comes back when all is well, and the shape of an error in each dialect. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from bert_serving.server.gateway.fingerprint_header import HEADER
from bert_serving.server.gateway.problems import Problem, Shape

Schema = dict[str, Any]
Answers = dict[int | str, dict[str, Any]]

NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
STRING: Schema = {"type": "string"}


def list_of(item: Schema) -> Schema:
    """A JSON array."""
    return {"type": "array", "items": item}


def object_of(**fields: Schema) -> Schema:
    """A JSON object that has these fields."""
    return {"type": "object", "properties": fields, "required": list(fields)}


VECTOR = list_of(NUMBER)
_VECTOR = [0.0213, -0.0541, 0.0087]

ERRORS: dict[str, Schema] = {
    "Error": {
        **object_of(
            error={
                **object_of(message=STRING, type=STRING, code={"type": ["integer", "string"]}),
                "properties": {
                    "message": {**STRING, "description": "what is wrong, and what to do about it"},
                    "type": {**STRING, "description": "the kind of error, such as invalid or overloaded"},
                    "param": {"type": ["string", "null"], "description": "the field that is wrong"},
                    "code": {"type": ["integer", "string"], "description": "the status, or OpenAI's name of the error"},
                    "index": {**INTEGER, "description": "the text that is wrong, counted from 0"},
                },
            },
            status={**INTEGER, "description": "the HTTP status again, as bert-as-service 1.10 sends it"},
        ),
    },
    "TeiError": object_of(error=STRING, error_type=STRING),
    "PlainError": object_of(error=STRING),
}
"""By the names that they have in the description of the API."""

_NAMES = {Shape.NESTED: "Error", Shape.TEI: "TeiError", Shape.PLAIN: "PlainError"}

_STATUSES = {
    400: ("Not JSON, nothing to encode, or something this model cannot do", "this model's head has no labels"),
    401: ("No API key, or a wrong one", "this server wants a key: send the header Authorization: Bearer KEY"),
    404: ("No such model", "there is no model 'gpt-4' here: there is all-MiniLM-L6-v2"),
    409: ("The model has another fingerprint than the one expected", "no service here has the fingerprint 0a1b"),
    413: ("The body, or the answer, is too large", "a body may have 16 megabytes (-http_max_body)"),
    415: ("The body is compressed", "the body has Content-Encoding gzip, and only identity is taken"),
    422: ("A field is missing or wrong; `index` names the text if one is to blame", "texts: Field required"),
    429: ("Too many requests at once; retry after the seconds in `Retry-After`", "1000 requests wait already"),
    503: (
        "The model is loading, or the server is stopping; retry after the seconds in `Retry-After`",
        "the model is loading",
    ),
    504: ("Not finished within `-http_timeout`", "not done within -http_timeout"),
}
"""What each means, and what a message may be."""


def answers(ok: dict[str, Any], shape: Shape = Shape.NESTED, *statuses: int) -> Answers:
    """For `responses` of a route: the answer when all is well, and errors of these statuses; of all, by default."""
    schema = {"$ref": f"#/components/schemas/{_NAMES[shape]}"}
    found: Answers = {200: ok}
    for status in statuses or tuple(_STATUSES):
        text, message = _STATUSES[status]
        example = orjson.loads(bytes(Problem(status, message).as_response(shape).body))
        found[status] = {
            "description": text,
            "content": {"application/json": {"schema": schema, "example": example}},
        }
    return found


def as_json(text: str, schema: Schema, example: Any) -> dict[str, Any]:
    """An answer in JSON."""
    return {"description": text, "content": {"application/json": {"schema": schema, "example": example}}}


RESULTS = as_json(
    "A vector for each text, in order",
    {
        "type": "object",
        "properties": {
            "id": {"description": "as it was sent"},
            "results": {"type": "array", "items": {}, "description": "the vectors; with `views` a list for each view"},
            "status": INTEGER,
            "tokens": {**list_of(list_of(STRING)), "description": "with `show_tokens` or `offsets`"},
            "truncated": {**list_of(INTEGER), "description": "the texts that were cut, counted from 0; absent if none"},
            "offsets": {"type": "array", "items": {}, "description": "with `offsets`: start and end of each token"},
            "chunks": {"type": "array", "items": {}, "description": "with `offsets`: start and end of each chunk"},
        },
        "required": ["id", "results", "status"],
    },
    {"id": None, "results": [_VECTOR, _VECTOR], "status": 200},
)
RESULTS["content"]["application/octet-stream"] = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": "All vectors as little-endian float32, row by row; the header X-Shape has their shape",
    }
}
RESULTS["headers"] = {
    "X-Shape": {"schema": STRING, "description": "of octets: the shape of the array, such as 2,384"},
    "X-Dtype": {"schema": STRING, "description": "of octets: float32"},
    HEADER: {"schema": STRING, "description": "which model, and which options, made the vectors"},
}

EMBEDDINGS = as_json(
    "A vector for each input, in order",
    object_of(
        object=STRING,
        data=list_of(
            object_of(object=STRING, index=INTEGER, embedding={"anyOf": [VECTOR, {**STRING, "format": "byte"}]})
        ),
        model=STRING,
        usage=object_of(prompt_tokens=INTEGER, total_tokens=INTEGER),
    ),
    {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": _VECTOR}],
        "model": "all-MiniLM-L6-v2",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    },
)
VECTORS = as_json("A vector for each text, in order", list_of(VECTOR), [_VECTOR])
MATRICES = as_json("For each text a vector for each of its tokens", list_of(list_of(VECTOR)), [[_VECTOR, _VECTOR]])
_LABEL = object_of(score=NUMBER, label=STRING)
LABELS = as_json(
    "The labels with their scores, best first; a list of these for several texts",
    {"anyOf": [list_of(_LABEL), list_of(list_of(_LABEL))]},
    [{"score": 0.93, "label": "joy"}, {"score": 0.07, "label": "fear"}],
)
TOKENS = as_json(
    "The tokens of each text",
    list_of(list_of(object_of(id=INTEGER, text=STRING, special={"type": "boolean"}))),
    [[{"id": 2054, "text": "What", "special": False, "start": 0, "stop": 4}]],
)
RANKED = as_json(
    "The documents, best first",
    {
        "type": "object",
        "properties": {"results": list_of(object_of(index=INTEGER, relevance_score=NUMBER))},
        "required": ["results"],
    },
    {
        "id": "5f0c",
        "object": "list",
        "model": "ms-marco",
        "results": [{"index": 0, "relevance_score": 0.98, "document": {"text": "Carson City is the capital."}}],
        "usage": {"prompt_tokens": 31, "total_tokens": 31},
        "meta": {"tokens": {"input_tokens": 31}},
    },
)
RANKED_ANY = {
    "description": "The documents, best first; the shape follows from the fields of the request",
    "content": {
        "application/json": {
            "schema": {
                "anyOf": [
                    RANKED["content"]["application/json"]["schema"],
                    list_of(object_of(index=INTEGER, score=NUMBER)),
                    {"type": "object", "properties": {"query": STRING, "scores": list_of({})}, "required": ["query"]},
                ]
            },
            "example": RANKED["content"]["application/json"]["example"],
        }
    },
}
OLLAMA_VECTORS = as_json(
    "A vector for each text, in order; durations are in nanoseconds",
    object_of(model=STRING, embeddings=list_of(VECTOR), total_duration=INTEGER),
    {"model": "all-minilm", "embeddings": [_VECTOR], "total_duration": 4200000, "prompt_eval_count": 7},
)
OLLAMA_VECTOR = as_json("The vector", object_of(embedding=VECTOR), {"embedding": _VECTOR})
WEAVIATE_VECTORS = as_json(
    "The vector of `text`, or the vectors of `texts`",
    {"type": "object", "properties": {"text": STRING, "vector": VECTOR, "vectors": list_of(VECTOR), "dim": INTEGER}},
    {"text": "hello world", "vector": _VECTOR, "dims": 3, "dim": 3},
)


def any_object(text: str) -> dict[str, Any]:
    """An answer that is an object whose fields the description of the route tells."""
    return {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}
