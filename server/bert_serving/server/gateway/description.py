"""The application, and what its description says beside the routes: groups of routes, errors, and keys."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from bert_serving.server.gateway.answers import ERRORS
from bert_serving.server.gateway.guard import OPEN_PATHS

NATIVE, OPENAI, TEI = "bert-as-service", "OpenAI", "Text Embeddings Inference"
RERANK, OLLAMA, WEAVIATE, OPERATIONS = "Reranking", "Ollama", "Weaviate", "Operations"
TAGS = [
    {"name": NATIVE, "description": "The server's own route: every option of a request, JSON or raw float32."},
    {"name": OPENAI, "description": "For OpenAI's clients: set their base URL to this server's address and `/v1`."},
    {"name": TEI, "description": "For clients of Hugging Face's text-embeddings-inference."},
    {"name": RERANK, "description": "Order documents by a query. The model must be a cross-encoder with one label."},
    {"name": OLLAMA, "description": "For Ollama's clients: embeddings, and what they ask before."},
    {"name": WEAVIATE, "description": "For Weaviate's text2vec-transformers module."},
    {"name": OPERATIONS, "description": "Status, health and metrics. Health and metrics need no API key."},
]
ABOUT = """Text in, vectors out. All routes run the same models; choose the one that your client speaks.
Press **Try it out** and **Execute** to send an example. [Dashboard](./) · [Metrics](./metrics)"""
SCHEMES: dict[str, Any] = {
    "Bearer": {"type": "http", "scheme": "bearer", "description": "The API key, as API clients send it."},
    "Basic": {"type": "http", "scheme": "basic", "description": "Any user name, and the API key as password."},
}


def described_app(*, wants_key: bool, **arguments: Any) -> FastAPI:
    """An application without routes, whose page of documentation needs no internet. `wants_key`: requests need an API
    key."""
    app = FastAPIOffline(
        description=ABOUT,
        openapi_tags=TAGS,
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/static",
        swagger_ui_parameters={
            "defaultModelsExpandDepth": -1,
            "displayRequestDuration": True,
            "persistAuthorization": True,
        },
        **arguments,
    )
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(generated(), wants_key)
        return generated()

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI has it extended
    return app


def _complete(schema: dict[str, Any], wants_key: bool) -> None:
    """Add to what FastAPI has made of the routes."""
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(ERRORS)
    if wants_key:
        components["securitySchemes"] = SCHEMES
        schema["security"] = [{name: []} for name in SCHEMES]
        for path in OPEN_PATHS:
            for operation in schema["paths"].get(path, {}).values():
                operation["security"] = []
