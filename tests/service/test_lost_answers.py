"""An answer is published to an older subscription of the same identity alone: who asked gets it all the same."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from fake_engine import expected
from raw_client import RawClient
from serving import Serve, open_requests, status
from subscription_gate import SubscriptionGate

from bert_serving.client import AsyncBertClient, BertClient, resend
from bert_serving.client.wire import Command, decode_reply, encode_command
from bert_serving.server import BertServer

TEXTS = [f"!slow 0.01 {number}" for number in range(100)]
VECTORS = expected(TEXTS)

Calls = Callable[[dict[str, Any], threading.Event], Any]
"""Encodes one text, sets the event, and returns the vectors of TEXTS."""


def call(options: dict[str, Any], has_begun: threading.Event) -> Any:
    with BertClient(**options) as client:
        client.encode(["before"])
        has_begun.set()
        return client.encode(TEXTS)


def call_async(options: dict[str, Any], has_begun: threading.Event) -> Any:
    async def run() -> Any:
        async with AsyncBertClient(**options) as client:
            await client.encode(["before"])
            has_begun.set()
            return await client.encode(TEXTS)

    return asyncio.run(run())


BOTH = pytest.mark.parametrize("calls", [call, call_async])


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resend, "FIRST_WAIT_S", 0.2)


def options_for(server: BertServer, results: SubscriptionGate) -> dict[str, Any]:
    """Of a client that ends with an error, instead of never, if its answer is lost."""
    return {"port": server.config.port, "port_out": results.port, "identity": "me", "timeout": 30_000}


def num_data_request(server: BertServer) -> int:
    return int(status(server)["statistic"]["num_data_request"])


@BOTH
def test_an_answer_that_went_to_the_dead_connection_of_the_same_client(serve: Serve, calls: Calls) -> None:
    server, has_begun = serve(max_batch_size=4), threading.Event()
    with closing(SubscriptionGate(server.config.port_out, b"me")) as results, ThreadPoolExecutor(1) as pool:
        running = pool.submit(calls, options_for(server, results), has_begun)
        has_begun.wait(30)
        results.shut()
        results.lose_clients()
        while num_data_request(server) < 3:  # until the client is back and has asked again
            pass
        while open_requests(server) > 0:  # until the answer has been published
            pass
        results.open()
        np.testing.assert_array_equal(running.result(), VECTORS)


@BOTH
def test_an_answer_that_went_to_a_client_which_is_just_leaving(serve: Serve, calls: Calls) -> None:
    server, has_begun = serve(), threading.Event()
    with closing(SubscriptionGate(server.config.port_out, b"me")) as results, ThreadPoolExecutor(1) as pool:
        results.shut()
        with RawClient(server, b"me") as leaving:
            leaving.ask(*encode_command(b"me", 99, Command.SHOW_CONFIG))  # its subscription is in force
            running = pool.submit(calls, {**options_for(server, results), "ignore_all_checks": True}, has_begun)
            assert leaving.sub.poll(30_000)
            assert decode_reply(leaving.sub.recv_multipart()).request_id == 1
        results.open()
        np.testing.assert_array_equal(running.result(), VECTORS)


# -- clients that ask once, as those of 1.10 do -----------------------------------------------------------------------


def leave(client: RawClient) -> None:
    """Unsubscribe, and return when the server has heard of it."""
    client.sub.unsubscribe(b"me")
    client.sub.subscribe(b"other")
    while client.ask(*encode_command(b"other", 50, Command.SHOW_CONFIG)).identity != b"other":
        pass


def test_a_first_answer_that_went_to_a_client_which_is_just_leaving(serve: Serve) -> None:
    server, question = serve(), encode_command(b"me", 1, Command.SHOW_CONFIG)
    with RawClient(server, b"me") as leaving, RawClient(server, b"nobody") as coming:
        leaving.ask(*question)
        coming.push.send_multipart(question)
        assert leaving.sub.poll(30_000)  # the answer to the other
        leave(leaving)
        coming.sub.subscribe(b"me")
        assert coming.sub.poll(30_000), "no answer"
        assert decode_reply(coming.sub.recv_multipart()).request_id == 1


def test_who_follows_another_hears_nothing_of_its_first_answer(serve: Serve) -> None:
    server = serve()
    with RawClient(server, b"me") as leaving, RawClient(server, b"nobody") as coming:
        leaving.ask(*encode_command(b"me", 1, Command.SHOW_CONFIG))
        leave(leaving)
        coming.sub.subscribe(b"me")
        assert coming.ask(*encode_command(b"me", 2, Command.SHOW_STATUS)).request_id == 2
