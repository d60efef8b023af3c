"""The services of a gateway by their model's name, without a server: who is found, what is said where nobody is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import httpx
import numpy as np
import pytest
from serving import fake_config

from bert_serving.client import VersionMismatch
from bert_serving.client.endpoints import Endpoint
from bert_serving.client.options import Options
from bert_serving.client.wire import RowsReply
from bert_serving.server.gateway.app import create_app
from bert_serving.server.gateway.backend import Backend, Shared
from bert_serving.server.gateway.model_table import Models, Place, models_of_arguments
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.services import Services

CONFIG = fake_config(http_max_body=1)


class Client:
    """Answers as a service with this fingerprint."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        self.asked = 0

    def write(self, texts: Any, is_tokenized: bool, options: Options, left_s: float) -> Any:
        return texts

    async def answer(self, texts: Any, due_s: float) -> RowsReply:
        self.asked += 1
        return RowsReply(b"", 1, np.ones((len(texts), 3), np.float32), None, [], 7, self._fingerprint)


class Gateway:
    """Services that are as the test says, and what their clients were asked."""

    def __init__(self, models: Models) -> None:
        self.services = Services(Shared(CONFIG))
        self.services.begin_with(models, self.make)
        self.clients: dict[tuple[str, int], Client] = {}

    def make(self, place: Place) -> Backend:
        return Backend(CONFIG, place.curve, place, self.services.shared)

    def backend(self, model: str, number: int = 0) -> Backend:
        return next(
            member.backend for name, member in self.services.members if (name, member.number) == (model, number)
        )

    def let_be_ready(self, model: str, number: int, fingerprint: str, answers: str | None = None) -> Client:
        """It says this fingerprint; its answers may have another."""
        backend = self.backend(model, number)
        client = self.clients[model, number] = Client(fingerprint if answers is None else answers)
        backend._client = client  # type: ignore[assignment]
        backend.status = {"state": "ready", "processes": [], "model": {"fingerprint": fingerprint}, "http_port": None}
        backend._status_s = time.monotonic()
        return client

    async def post(self, **about: Any) -> httpx.Response:
        transport = httpx.ASGITransport(create_app(self.services, CONFIG))
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as http:
            return await http.post("/encode", **about)

    async def get(self, path: str) -> httpx.Response:
        transport = httpx.ASGITransport(create_app(self.services, CONFIG))
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as http:
            return await http.get(path)


def gateway(*models: str) -> Gateway:
    return Gateway(models_of_arguments(models))


def numbers(found: Iterable[Backend], of: Gateway) -> list[int]:
    known = {member.backend: member.number for _, member in of.services.members}
    return [known[one] for one in found]


def test_of_several_models_one_must_be_named() -> None:
    services = gateway("a=h:1:2", "b=h:3:4").services
    assert services.of("b").name == "b"
    for model, status in (("", 422), ("c", 404)):
        with pytest.raises(Problem, match=r"a, b") as caught:
            services.of(model)
        assert (caught.value.status, caught.value.param) == (status, "model")


def test_the_only_model_has_any_name_in_a_request() -> None:
    services = gateway("a=h:1:2", "a=h:3:4").services
    assert {services.of(name).name for name in ("", "a", "gpt-4")} == {"a"}
    with pytest.raises(Problem, match=r"no model 'gpt-4' here: there is a"):
        services.named("gpt-4")


def test_services_take_turns_and_one_that_is_not_well_or_full_has_none() -> None:
    own = gateway("a=h:1:2", "a=h:3:4")
    assert numbers((own.services.of("a") for _ in range(4)), own) == [0, 1, 0, 1]  # nobody is ready
    own.let_be_ready("a", 0, "x")
    assert numbers((own.services.of("a") for _ in range(3)), own) == [0, 0, 0]
    own.let_be_ready("a", 1, "y")
    assert numbers((own.services.of("a", "y") for _ in range(3)), own) == [1, 1, 1]
    own.backend("a", 0).slots.waiting = 10**6
    assert numbers((own.services.of("a") for _ in range(3)), own) == [1, 1, 1]


def test_health_says_which_model_is_not_there() -> None:
    own = gateway("a=h:1:2", "a=h:3:4", "b=h:5:6")
    assert own.services.trouble == "a: the model is loading; b: the model is loading"
    own.let_be_ready("a", 1, "x")
    assert own.services.trouble == "b: the model is loading"
    own.let_be_ready("b", 0, "x")
    assert [own.services.trouble, own.services.why_dead] == [None, None]


def test_health_says_that_the_end_has_come() -> None:
    own = gateway("a=h:1:2", "b=h:5:6")
    own.let_be_ready("a", 0, "x")
    own.services.drain()
    assert own.services.trouble == "a: the server is stopping; b: the server is stopping"


async def test_nothing_is_read_while_no_model_is_there() -> None:
    own = gateway("a=h:1:2", "b=h:5:6")
    assert (await own.post(content=b"{")).status_code == 503
    own.let_be_ready("a", 0, "x")
    assert (await own.post(content=b"{")).status_code == 400
    answer = await own.post(json={"texts": ["t"], "model": "b"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("expect", ["old", None])
async def test_an_answer_of_another_model_than_was_said_reaches_nobody_who_expects_that(expect: str | None) -> None:
    own = gateway("a=h:1:2")
    own.let_be_ready("a", 0, "old", answers="new")  # it was started again, and its status is of before
    headers = {} if expect is None else {"X-Expect-Fingerprint": expect}
    answer = await own.post(json={"texts": ["t"]}, headers=headers)
    if expect is None:
        assert (answer.status_code, answer.headers["X-Fingerprint"]) == (200, "new")
    else:
        assert (answer.status_code, "X-Fingerprint" in answer.headers) == (409, False)
        assert "'old'" in answer.json()["error"]["message"]
        assert "has new" in answer.json()["error"]["message"]


async def test_a_place_that_expects_another_fingerprint_is_not_asked() -> None:
    own = Gateway({"a": [Place(Endpoint("h", 1, 2), expect_fingerprint="old"), Place(Endpoint("h", 3, 4))]})
    wrong, right = own.let_be_ready("a", 0, "new"), own.let_be_ready("a", 1, "new")
    for _ in range(4):
        assert (await own.post(json={"texts": ["t"]})).status_code == 200
    assert (wrong.asked, right.asked) == (0, 4)
    assert own.backend("a", 0).trouble == "the service has the fingerprint new, not old"

    alone = Gateway({"a": [Place(Endpoint("h", 1, 2), expect_fingerprint="old")]})
    client = alone.let_be_ready("a", 0, "new")
    answer = await alone.post(json={"texts": ["t"]})
    assert (answer.status_code, client.asked) == (503, 0)
    assert "has the fingerprint new, not old" in answer.text
    alone.let_be_ready("a", 0, "old", answers="new")  # it was started again, and its status is of before
    answer = await alone.post(json={"texts": ["t"]})
    assert (answer.status_code, "X-Fingerprint" in answer.headers) == (503, False)


@pytest.mark.parametrize("given", [[""], ["a", "b"]])
async def test_an_expectation_that_cannot_be_is_refused(given: list[str]) -> None:
    own = gateway("a=h:1:2")
    own.let_be_ready("a", 0, "a")
    answer = await own.post(json={"texts": ["t"]}, headers=[("X-Expect-Fingerprint", one) for one in given])
    assert answer.status_code == 422
    assert "X-Expect-Fingerprint is" in answer.text


async def test_a_service_keeps_its_number_and_its_client_in_a_new_table() -> None:
    own = gateway("a=h:1:2", "a=h:3:4")
    first, second = (member for _, member in own.services.members)
    changed = {"a": [Place(Endpoint("h", 3, 4), 9), Place(Endpoint("h", 5, 6))], "b": [Place(Endpoint("h", 3, 4))]}
    groups, new = own.services._grouped(changed, own.make)
    assert [member.number for member in groups["a"].members] == [1, 2]
    assert groups["a"].members[0] is second
    assert groups["a"].weights == {1: 9, 2: 1}
    assert [(name, member.number) for name, member in new] == [("a", 2), ("b", 0)]
    assert first not in groups["a"].members


def test_a_service_that_asks_its_workers_nothing_of_itself_is_not_silent() -> None:
    own = gateway("a=h:1:2")
    own.let_be_ready("a", 0, "x")
    backend = own.backend("a")
    backend.status["processes"] = [{"name": "worker-0", "state": "ready", "silent_s": 99.0}]
    backend.status["num_worker"] = 1
    assert backend.trouble is None
    backend.status["http_port"] = 8125  # now it does
    assert backend.trouble == "worker-0 has encoded nothing for 99 s"


class Failing(Backend):
    """Its client finds a server that it cannot use."""

    async def _connect(self) -> None:
        raise VersionMismatch("the server has version 7")


def under_way(name: str) -> list[str]:
    """Tasks of this coroutine."""
    return [shown for shown in map(repr, asyncio.all_tasks()) if name in shown]


async def test_a_service_whose_client_fails_is_tried_again_and_harms_no_other() -> None:
    services = Services(Shared(CONFIG))
    places = [Place(Endpoint("h", 1, 2)), Place(Endpoint("h", 3, 4), curve="/nowhere")]
    services.begin_with({"a": places}, lambda place: Failing(CONFIG, place.curve, place, services.shared))
    running = asyncio.create_task(services.run())
    strange, keyless = (member.backend for _, member in services.members)
    for _ in range(2):
        while strange.fault is None or keyless.fault is None:
            assert not running.done()
            await asyncio.sleep(0.01)
        assert not under_way("Backend._watch")  # what a round leaves behind would add up
        assert strange.fault == "the server has version 7"
        assert "/nowhere/client.key_secret is not a key file" in keyless.fault
        for backend in (strange, keyless):
            assert backend.trouble == "the service cannot be used: the gateway's log says why"
            with pytest.raises(Problem, match="the gateway's log says why"):
                backend.check_ready()
        strange.fault = keyless.fault = None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not under_way("Services._keep")


class Old(Backend):
    """Behind it is a server of 1.10."""

    async def _ask_status(self) -> dict[str, Any] | None:
        return {"server_version": "1.10.0", "statistic": {}}


async def test_a_service_that_is_too_old_is_refused_by_its_version() -> None:
    backend = Old(CONFIG, None)
    await backend._take_status()
    assert backend.trouble == "the service is of version '1.10.0', and HTTP needs one of 2.0 or later: update it"
    with pytest.raises(Problem, match=r"of version '1\.10\.0'"):
        backend.check_ready()


async def test_errors_are_those_of_the_service_that_had_them() -> None:
    own = gateway("a=h:1:2", "b=h:3:4")
    own.let_be_ready("a", 0, "x")
    own.let_be_ready("b", 0, "y")
    assert (await own.post(json={"texts": [], "model": "c"})).status_code == 404
    assert (await own.post(json={"texts": "t", "model": "b"})).status_code == 422  # found out before a model was
    answers = [await own.post(json={"texts": ["t"], "model": "b"}, headers=headers) for headers in ({}, {"A": "b"})]
    assert [answer.status_code for answer in answers] == [200, 200]
    own.let_be_ready("b", 0, "y", answers="z")
    headers = {"X-Expect-Fingerprint": "y"}
    assert (await own.post(json={"texts": ["t"], "model": "b"}, headers=headers)).status_code == 409
    assert (own.backend("a").errors, own.backend("b").errors) == (0, 1)
    assert (await own.get("/metrics")).status_code == 200
