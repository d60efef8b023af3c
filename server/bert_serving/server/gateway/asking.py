"""A request for vectors, from its body to the answer of the service; and what `/docs` says of such routes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel

from bert_serving.client.errors import quoted
from bert_serving.client.options import Options
from bert_serving.client.wire import RowsReply
from bert_serving.server.gateway import guard
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.choice import other_fingerprint
from bert_serving.server.gateway.fingerprint_header import EXPECTED_HEADER, FINGERPRINT
from bert_serving.server.gateway.parsing import Kind, parsed
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.schemas import TEXT_FIELDS
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.usage import Account

_Body = TypeVar("_Body", bound=BaseModel)


class Asking(Generic[_Body]):
    """A request for vectors. Its body is read when there is room for it, and parsed when it has its turn.

        backend = await asked.find(services)
        reply = await asked.of(backend, lambda body: (body.texts, False, NO_OPTIONS))

    with nothing awaited in between, so that the backend is still one of those there are.
    `about` are the fields of the body but its texts, once there is an answer.
    `by_facts`: it is asked in this way for what is known of the backend's model, its prompts or its labels.
    """

    def __init__(self, request: Request, kind: Kind[_Body], *, by_facts: bool = False) -> None:
        self._request = request
        self._kind = kind
        self._content = bytearray()
        self._services: Services | None = None
        self.about: dict[str, Any] = {}
        self.by_facts = by_facts
        self._believed = ""

    async def find(self, services: Services) -> Backend:
        """Read the body; the backend of the model that it names, or else the query's `model`, which has the
        fingerprint that is expected. Raises Problem."""
        expect, self._services = self._expected, services
        services.check_ready()  # before anything is read
        self._account()
        async for piece in self._request.stream():
            self._content += piece
        model = "" if services.takes_any_name else await self._model(services)
        return services.of(model, expect)

    async def of(self, backend: Backend, as_texts: Callable[[_Body], tuple[Any, bool, Options]]) -> RowsReply:
        """The answer to the texts that `as_texts` finds, charged to who asks. Raises Problem, and what the client
        raises."""
        backend.check_ready()
        account = self._account()
        kept = [self._content]
        num_bytes = len(self._content)
        self._content = bytearray()

        def read() -> tuple[Any, bool, Options]:
            _check_account(account)  # others of its requests may have been answered while this one waited
            self._believed = backend.facts.fingerprint
            body = parsed(kept.pop(), self._kind)  # nobody else has it: as texts and as bytes at once it is too much
            self.about = body.model_dump(exclude=set(TEXT_FIELDS))
            return as_texts(body)

        try:
            reply = await backend.encode(read, num_bytes, self._request.scope[guard.AT_END])
            if account is not None:
                account.charge(len(reply.array), reply.num_tokens or 0, time.monotonic())
            self._check(backend, reply)
        except Exception:
            if self._services is not None:
                self._services.count_error(backend)
            raise
        self._request.scope[FINGERPRINT] = reply.fingerprint
        return reply

    async def pooled(
        self, backend: Backend, as_texts: Callable[[_Body], tuple[Any, bool, Options]], route: str = "/encode"
    ) -> RowsReply:
        """As `of`, in a dialect that has a place for one vector a text. Problem 422, which names the `route` to take,
        where the model gives one a token."""
        _check_pooled(backend.gives_matrices, route)
        reply = await self.of(backend, as_texts)
        _check_pooled(reply.array.ndim > 2, route)  # the service was started again meanwhile, with other options
        return reply

    def _account(self) -> Account | None:
        """Of who asks. Problem 429 if it has no tokens left."""
        account: Account | None = self._request.scope[guard.ACCOUNT]
        _check_account(account)
        return account

    @property
    def _expected(self) -> str | None:
        given = dict.fromkeys(self._request.headers.getlist(EXPECTED_HEADER))
        if len(given) > 1 or "" in given:
            shown = "empty" if "" in given else " and ".join(map(quoted, given))
            raise Problem(422, f"{EXPECTED_HEADER} is {shown}: give one fingerprint, or leave the header out")
        return next(iter(given), None)

    async def _model(self, services: Services) -> str:
        """Parsed for this alone, and again in its turn: until then only the bytes are kept."""

        def find() -> str:
            return str(getattr(parsed(bytearray(self._content), self._kind), "model", ""))

        found = await services.shared.read(find, len(self._content))
        return found or self._request.query_params.get("model", "")

    def _check(self, backend: Backend, reply: RowsReply) -> None:
        """A service may have been started again with another model after it was chosen. Raises Problem."""
        expected = self._expected
        if expected not in (None, reply.fingerprint, reply.model):
            raise other_fingerprint(expected, [reply.fingerprint])
        found = reply.model or reply.fingerprint
        if self.by_facts and found and self._believed and found != self._believed:
            raise Problem(503, "the service has just got another model: ask again", retry_after_s=1)
        if (why := backend.why_strange(found)) is not None:
            raise Problem(503, why, retry_after_s=1)


def _check_account(account: Account | None) -> None:
    if account is not None:
        account.check(time.monotonic())


def _check_pooled(is_of_tokens: bool, route: str) -> None:
    if is_of_tokens:
        raise Problem(422, f"this model gives a vector for each token (-pooling_strategy NONE): use {route}")


def request_body(*kinds: type[BaseModel], examples: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a route takes, for `openapi_extra`, with `examples` by what they show. By default there is one: what the
    fields of the first kind have as theirs."""
    schemas = [_whole(kind.model_json_schema()) for kind in kinds]
    fields = kinds[0].model_fields.items()
    chosen = examples or {"Example": {name: field.examples[0] for name, field in fields if field.examples}}
    content = {
        "schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
        "examples": {name: {"summary": name, "value": value} for name, value in chosen.items()},
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """With what it refers to in its place: a reference within a schema finds nothing where that is part of another."""
    parts = schema.pop("$defs", {})

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            found = parts.get(str(value.get("$ref", "")).removeprefix("#/$defs/"), {})
            return {name: filled(one) for name, one in {**found, **value}.items() if name != "$ref"}
        return [filled(one) for one in value] if isinstance(value, list) else value

    whole: dict[str, Any] = filled(schema)
    return whole
