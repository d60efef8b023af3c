"""The gateway's process: an HTTP server, and the line to the supervisor by which it hears of the end.

One asyncio loop does all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Coroutine, Iterator
from typing import Any

import uvicorn
import zmq
import zmq.asyncio

from bert_serving.server.config import ServerConfig
from bert_serving.server.gateway.app import create_app
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.protocol import PatientProtocol, most_connections
from bert_serving.server.message.codec import encode
from bert_serving.server.message.messages import Alive, Draining, Hello, Stop
from bert_serving.server.transport import sockets
from bert_serving.server.transport.child_line import ALIVE_INTERVAL_S
from bert_serving.server.transport.lines import read
from bert_serving.server.transport.listeners import WAITING_CONNECTIONS
from bert_serving.server.transport.meeting import Contact
from bert_serving.server.transport.orders import GatewayNeeds

log = logging.getLogger(__name__)

IDLE_S = 75
"""That a connection may stay between requests: longer than clients keep theirs, so that none is cut as it asks."""
GRACE_S = 3
"""At the end, for answers that are being written."""


class _Server(uvicorn.Server):
    """uvicorn's, but signals are the supervisor's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(config: ServerConfig, contact: Contact, needs: GatewayNeeds) -> None:
    """Serve HTTP until the supervisor says to stop."""
    with socket.socket(fileno=needs.http) as listener:
        asyncio.run(_serve(config, contact, Backend(config, needs.curve), listener))


async def _serve(config: ServerConfig, contact: Contact, backend: Backend, listener: socket.socket) -> None:
    server = _Server(
        uvicorn.Config(
            create_app(backend, config),
            http=PatientProtocol.with_most(most_connections(config.http_max_connect)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=WAITING_CONNECTIONS,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    context = zmq.asyncio.Context()
    supervisor: Any = sockets.connect_internal(context, zmq.DEALER, contact.supervisor, contact.keys, contact.line)
    await supervisor.send_multipart(encode(Hello(os.getpid())))
    log.info("listening on %s:%s", *listener.getsockname()[:2])
    works = (
        server.serve(sockets=[listener]),
        backend.run(),
        _say_alive(supervisor),
        _obey(supervisor, backend, server),
    )
    try:
        await until_one_ends(*works)
    finally:
        context.destroy(linger=0)


async def until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends or fails: then the others are cancelled, and its error is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _say_alive(supervisor: Any) -> None:
    while True:
        await supervisor.send_multipart(encode(Alive()))
        await asyncio.sleep(ALIVE_INTERVAL_S)


async def _obey(supervisor: Any, backend: Backend, server: uvicorn.Server) -> None:
    while True:
        message = read(await supervisor.recv_multipart())
        if isinstance(message, Draining):
            backend.is_draining = True
        elif isinstance(message, Stop):
            backend.is_draining = True
            server.should_exit = True
