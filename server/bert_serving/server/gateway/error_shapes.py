"""Which dialect's shape an error has: by the request's path, or as its route found out."""

from __future__ import annotations

from starlette.types import Scope

from bert_serving.server.gateway.normal_form import normal_path
from bert_serving.server.gateway.problems import Shape

SHAPE = "bert_serving.error_shape"
"""In the scope of a request whose route knows better than its path."""
_BY_PATH = {
    **dict.fromkeys(("/embed", "/embed_all", "/predict", "/tokenize", "/info"), Shape.TEI),
    **dict.fromkeys(("/vectors", "/meta"), Shape.PLAIN),
}
_OLLAMA = "/api/"


def shape_of(scope: Scope) -> Shape:
    """How an error of this request is written."""
    path = normal_path(scope["path"])
    by_path = Shape.PLAIN if path.startswith(_OLLAMA) else _BY_PATH.get(path, Shape.NESTED)
    if (path, scope.get("method")) == ("/", "POST"):  # else it is the dashboard
        by_path = Shape.TEI
    found: Shape = scope.get(SHAPE, by_path)
    return found
