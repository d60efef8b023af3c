"""Connections that send a lot, or ahead of their answers, take turns; without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from bert_serving.server.gateway import protocol
from bert_serving.server.gateway.protocol import FOLLOWING_AT_ONCE, PatientProtocol
from bert_serving.server.gateway.reading_turns import LIGHT_BYTES, Places, TurnedFlow, Turns

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


class Pipe:
    """A transport that says whether it reads, and tells `log` when it goes on."""

    def __init__(self, log: list[Pipe]) -> None:
        self.is_reading = True
        self._log = log

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True
        self._log.append(self)


async def test_heavy_ones_read_on_one_a_round_in_the_order_of_their_asking() -> None:
    turns, log = Turns(), list[Pipe]()
    pipes = [Pipe(log) for _ in range(5)]
    flows = [TurnedFlow(pipe, turns) for pipe in pipes]
    for flow in flows:
        flow.received = LIGHT_BYTES + 1
        flow.take_turn()
    for done in range(5):
        assert log == pipes[:done]
        await asyncio.sleep(0)
    assert log == pipes
    flows[2].take_turn()
    await asyncio.sleep(0)
    assert log == [*pipes, pipes[2]]


async def test_a_light_one_reads_on_at_once() -> None:
    log = list[Pipe]()
    pipe = Pipe(log)
    flow = TurnedFlow(pipe, Turns())
    flow.take_turn()
    assert pipe.is_reading
    assert not log
    flow.pause_reading()
    flow.resume_reading()
    assert pipe.is_reading
    assert log == [pipe]


async def test_a_turn_of_one_that_was_paused_meanwhile_is_left_out() -> None:
    pipe = Pipe([])
    flow = TurnedFlow(pipe, Turns())
    flow.received = LIGHT_BYTES + 1
    flow.take_turn()
    flow.pause_reading()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not pipe.is_reading
    flow.resume_reading()
    await asyncio.sleep(0)
    assert pipe.is_reading


async def test_places_are_given_in_order_and_never_more_than_there_are() -> None:
    places, given = Places(2), list[int]()

    def taker(number: int) -> Callable[[], None]:
        return lambda: given.append(number)

    for number in range(4):
        places.ask(taker(number))
    await asyncio.sleep(0)
    assert given == [0, 1]
    places.leave()
    await asyncio.sleep(0)
    assert given == [0, 1, 2]
    places.leave()
    places.leave()
    places.leave()
    places.ask(taker(4))
    places.ask(taker(5))
    places.ask(taker(6))
    await asyncio.sleep(0)
    assert given == [0, 1, 2, 3, 4, 5]


class Gateway:
    """Connections to an app that answers a `GET` at once, and what else comes when `let_go` is set."""

    def __init__(self) -> None:
        self.at_work = 0
        self.received = 0
        self.let_go = asyncio.Event()
        self._config = uvicorn.Config(self._app, log_config=None, interface="asgi3")
        self._config.load()
        self._state = ServerState()
        self._kind = PatientProtocol.with_most(100)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            message = {"more_body": True}
            while message["more_body"]:
                message = await receive()
                self.received += len(message["body"])
            self.at_work += 1
            await self.let_go.wait()
            self.at_work -= 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def connect(self) -> Any:
        transport = mock.Mock(spec=asyncio.Transport)
        transport.get_extra_info.return_value = None
        transport.is_closing.return_value = False
        connection = self._kind(self._config, self._state, {})
        connection.connection_made(transport)
        return connection

    @staticmethod
    def answers(connection: Any) -> int:
        written = b"".join(call.args[0] for call in connection.transport.write.call_args_list)
        return int(written.count(b"HTTP/1.1 200"))


async def rounds(number: int = 50) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_of_requests_sent_ahead_few_are_at_work_at_once() -> None:
    gateway = Gateway()
    connections = [gateway.connect() for _ in range(FOLLOWING_AT_ONCE + 3)]
    for connection in connections:
        connection.data_received(GET + POST % 0 + GET)
    await rounds()
    assert gateway.at_work == FOLLOWING_AT_ONCE
    assert [gateway.answers(connection) for connection in connections] == [1] * len(connections)
    gone = next(connection for connection in connections if not connection.cycle.response_complete)
    gone.connection_lost(None)
    await rounds()
    assert gateway.at_work == FOLLOWING_AT_ONCE + 1, "the place of one that has gone is not given again"
    gateway.let_go.set()
    await rounds(200)
    assert gateway.at_work == 0
    assert [gateway.answers(one) for one in connections if one is not gone] == [3] * (len(connections) - 1)


async def test_requests_that_wait_for_their_answers_are_at_work_at_once() -> None:
    gateway = Gateway()
    connections = [gateway.connect() for _ in range(3 * FOLLOWING_AT_ONCE)]
    for connection in connections:
        connection.data_received(GET)
        await rounds()
        connection.data_received(POST % 0)
    await rounds()
    assert gateway.at_work == len(connections)
    gateway.let_go.set()
    await rounds()
    assert [gateway.answers(connection) for connection in connections] == [2] * len(connections)


async def test_half_a_head_that_was_sent_ahead_is_waited_for_no_longer_than_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.01)
    gateway = Gateway()
    connection = gateway.connect()
    closed = asyncio.Event()
    connection.transport.close.side_effect = closed.set
    connection.data_received(GET + GET[:5])
    await asyncio.wait_for(closed.wait(), 30)
    assert gateway.answers(connection) == 1


@pytest.mark.parametrize("is_answered", [False, True])
async def test_bodies_are_read_in_turns_from_some_size_on(is_answered: bool) -> None:
    gateway = Gateway()
    connections = [gateway.connect() for _ in range(3)]
    for connection in connections:
        if is_answered:  # what comes after an early answer is read, and thrown away
            connection.data_received(GET.replace(b"Host", b"Content-Length: 1000000\r\nHost"))
        else:
            connection.data_received(POST % 1_000_000)
        await rounds()
        connection.data_received(bytes(LIGHT_BYTES // 2))
        assert connection.transport.pause_reading.call_count == 0
    for connection in connections:
        connection.data_received(bytes(LIGHT_BYTES))
    paused = [connection.transport.resume_reading.call_count for connection in connections]
    assert paused == [0, 0, 0]
    for done in range(1, 4):
        await rounds(1)
        assert sum(connection.transport.resume_reading.call_count for connection in connections) == done
    for connection in connections:
        for task in list(connection.tasks):
            task.cancel()
