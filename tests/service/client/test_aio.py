"""AsyncBertClient: many awaits on one connection, and nothing that blocks the loop."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from peer_server import CONFIG, Frames, PeerServer, answer_nothing, answer_rows, vectors
from ports import free_ports

from bert_serving.client import (
    AsyncBertClient,
    ClientClosed,
    ConnectFailed,
    RequestTimeout,
    RowFailed,
    VersionMismatch,
)
from bert_serving.client.wire import EncodeRequest, encode_error_reply


async def test_encode(peer: PeerServer) -> None:
    async with AsyncBertClient(**peer.ports) as client:
        np.testing.assert_array_equal(await client.encode(["a", "b"]), vectors(["a", "b"]))
        array, tokens = await client.encode([["a", "b"]], is_tokenized=True, show_tokens=True)
        np.testing.assert_array_equal(array, vectors([["a", "b"]]))
        assert tokens == [["a", "b"]]
        assert await client.server_config() == CONFIG
        assert (await client.server_status())["statistic"] == {"num_data_request": 2}
        assert client.status["num_request"] == 5


async def test_hundred_at_once(peer: PeerServer) -> None:
    threads = threading.active_count()
    client = await AsyncBertClient.connect(**peer.ports)
    lists = [[f"call {call} row {row}" for row in range(1 + call % 5)] for call in range(100)]
    arrays = await asyncio.gather(*(client.encode(texts) for texts in lists))
    for texts, array in zip(lists, arrays, strict=True):
        np.testing.assert_array_equal(array, vectors(texts))
    assert threading.active_count() == threads + 1
    await client.close()
    await client.close()


async def test_the_loop_goes_on_meanwhile(peer: PeerServer) -> None:
    """The event loop itself releases each answer: it would wait for ever if a call blocked it."""
    peer.answer = answer_nothing
    async with AsyncBertClient(**peer.ports) as client:
        call = asyncio.create_task(client.encode(["a"]))
        (request,) = await asyncio.to_thread(peer.wait_for, 1)
        peer.publish(answer_rows(peer, request)[0])
        np.testing.assert_array_equal(await call, vectors(["a"]))


async def test_connecting_does_not_block_the_loop(peer: PeerServer) -> None:
    peer.config["state"] = "loading"
    connecting = asyncio.create_task(AsyncBertClient.connect(**peer.ports))
    await asyncio.to_thread(peer.wait_for, 0, 2)
    assert not connecting.done()
    peer.config["state"] = "ready"
    await (await connecting).close()


async def test_a_cancelled_call_leaves_nothing(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    async with AsyncBertClient(**peer.ports) as client:
        call = asyncio.create_task(client.encode(["a"]))
        (request,) = await asyncio.to_thread(peer.wait_for, 1)
        assert client.status["pending_request"] == [2]
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert client.status["pending_request"] == []
        peer.publish(answer_rows(peer, request)[0])
        peer.answer = answer_rows
        np.testing.assert_array_equal(await client.encode(["b"]), vectors(["b"]))


async def test_a_cancelled_connect_leaves_no_thread(peer: PeerServer) -> None:
    peer.is_mute = True
    connecting = asyncio.create_task(AsyncBertClient.connect(**peer.ports))
    await asyncio.to_thread(peer.wait_for, 0, 1)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert "bert-serving-client" not in [thread.name for thread in threading.enumerate()]


async def test_timeout(peer: PeerServer) -> None:
    peer.answer = answer_nothing
    async with AsyncBertClient(**peer.ports, timeout=50) as client:
        with pytest.raises(RequestTimeout, match="timeout=50 ms"):
            await client.encode(["a"])
        assert client.status["num_pending_request"] == 0


async def test_errors(peer: PeerServer) -> None:
    def answer(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
        return [encode_error_reply(request.identity, request.request_id, RowFailed("no", 0))]

    peer.answer = answer
    async with AsyncBertClient(**peer.ports) as client:
        with pytest.raises(RowFailed):
            await client.encode(["a"])
        with pytest.raises(TypeError, match="must be a list"):
            await client.encode("a")  # type: ignore[call-overload]


async def test_no_server() -> None:
    port, port_out = free_ports(2)
    with pytest.raises(ConnectFailed, match="nothing listens"):
        await AsyncBertClient.connect(port=port, port_out=port_out, connect_timeout=200)


async def test_another_version() -> None:
    with PeerServer(config={"server_version": "1.9.0"}) as peer, pytest.raises(VersionMismatch):
        await AsyncBertClient.connect(**peer.ports)
    assert "bert-serving-client" not in [thread.name for thread in threading.enumerate()]


async def test_before_and_after(peer: PeerServer) -> None:
    client = AsyncBertClient(**peer.ports)
    assert client.status["num_request"] == 0
    with pytest.raises(ClientClosed, match="not connected yet"):
        await client.encode(["a"])
    async with client:
        await client.encode(["a"])
    with pytest.raises(ClientClosed, match="closed"):
        await client.encode(["a"])
