"""The application: its middleware, and the routes that stand in `routes/`. What goes wrong is a Problem."""

from __future__ import annotations

import time

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from bert_serving.client import BertServingError
from bert_serving.server.config import ServerConfig
from bert_serving.server.gateway import guard
from bert_serving.server.gateway.api_keys import KeysFile
from bert_serving.server.gateway.description import described_app
from bert_serving.server.gateway.fingerprint_header import HEADER, FingerprintHeader
from bert_serving.server.gateway.held import Bodies
from bert_serving.server.gateway.metrics import Metrics
from bert_serving.server.gateway.normal_form import NormalForm
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.refusals import answer_error
from bert_serving.server.gateway.routes.encode import add_encode
from bert_serving.server.gateway.routes.ollama import add_ollama
from bert_serving.server.gateway.routes.openai import add_openai
from bert_serving.server.gateway.routes.operations import add_operations
from bert_serving.server.gateway.routes.pages import add_pages
from bert_serving.server.gateway.routes.rerank import add_rerank
from bert_serving.server.gateway.routes.tei import add_tei
from bert_serving.server.gateway.routes.tei_root import add_tei_root
from bert_serving.server.gateway.routes.weaviate import add_weaviate
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.token_ids import reader_of
from bert_serving.server.gateway.usage import Accounts
from bert_serving.server.version import __version__

FIRST_ERROR_STATUS = 400
HEALTH = "/health"
"""What routes begin with whose 503 is an answer, and no error."""


def create_app(services: Services, config: ServerConfig) -> FastAPI:
    """The ASGI application."""
    metrics = Metrics(services)

    accounts = None
    if config.http_api_keys is not None:
        accounts = Accounts(KeysFile(config.http_api_keys), time.monotonic())
        metrics.add(accounts)

    def count(route: str, status: int, took_s: float) -> None:
        metrics.count(route, status, took_s)
        if status >= FIRST_ERROR_STATUS and not route.startswith(HEALTH):
            services.count_error()

    app = described_app(
        wants_key=config.http_api_key is not None or accounts is not None,
        title="bert-as-service",
        version=__version__,
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(
            (Problem, BertServingError, HTTPException, ClientDisconnect, Exception),
            answer_error,
        ),
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=[origin.strip() for origin in config.cors.split(",")],
                allow_methods=["GET", "HEAD", "POST"],
                allow_headers=["*"],
                expose_headers=["X-Shape", "X-Dtype", HEADER, "Retry-After"],
            ),
            Middleware(NormalForm),
            Middleware(
                guard.Guard,
                api_key=config.http_api_key,
                accounts=accounts,
                max_body=config.http_max_body << 20,
                bodies=Bodies(max(config.http_max_bodies, config.http_max_body) << 20),
                count=count,
            ),
            Middleware(FingerprintHeader),
        ],
    )
    add_encode(app, services)
    add_openai(app, services, reader_of(config.openai_token_ids, config.http_max_body << 20))
    add_tei(app, services)
    add_rerank(app, services, config.http_max_body << 20)
    add_ollama(app, services)
    add_weaviate(app, services)
    add_operations(app, services, metrics)
    add_pages(app, services)
    add_tei_root(app, services)
    return app
