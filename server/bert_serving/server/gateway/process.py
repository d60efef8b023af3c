"""The gateway's process: an HTTP server, and the line to the supervisor by which it hears of the end.

One asyncio loop does all of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import Any

import zmq
import zmq.asyncio

from bert_serving.server.config import ServerConfig
from bert_serving.server.gateway.app import create_app
from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.http_server import HttpServer
from bert_serving.server.gateway.protocol import PatientProtocol, most_connections
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.together import until_one_ends
from bert_serving.server.message.codec import encode
from bert_serving.server.message.messages import Alive, Draining, Hello, Stop
from bert_serving.server.model_name import model_name
from bert_serving.server.transport import sockets
from bert_serving.server.transport.child_line import ALIVE_INTERVAL_S
from bert_serving.server.transport.lines import read
from bert_serving.server.transport.meeting import Contact
from bert_serving.server.transport.orders import GatewayNeeds

log = logging.getLogger(__name__)


def run(config: ServerConfig, contact: Contact, needs: GatewayNeeds) -> None:
    """Serve HTTP until the supervisor says to stop."""
    with socket.socket(fileno=needs.http) as listener:
        asyncio.run(_serve(config, contact, Backend(config, needs.curve), listener))


async def _serve(config: ServerConfig, contact: Contact, backend: Backend, listener: socket.socket) -> None:
    services = Services.of_one(backend, model_name(config))
    protocol = PatientProtocol.with_most(most_connections(config.http_max_connect))
    server = HttpServer(create_app(services, config), protocol)
    context = zmq.asyncio.Context()
    supervisor: Any = sockets.connect_internal(context, zmq.DEALER, contact.supervisor, contact.keys, contact.line)
    await supervisor.send_multipart(encode(Hello(os.getpid())))
    log.info("listening on %s:%s", *listener.getsockname()[:2])
    works = (
        server.serve(sockets=[listener]),
        services.run(),
        _say_alive(supervisor),
        _obey(supervisor, services, server),
    )
    try:
        await until_one_ends(*works)
    finally:
        context.destroy(linger=0)


async def _say_alive(supervisor: Any) -> None:
    while True:
        await supervisor.send_multipart(encode(Alive()))
        await asyncio.sleep(ALIVE_INTERVAL_S)


async def _obey(supervisor: Any, services: Services, server: HttpServer) -> None:
    while True:
        for message in read(await supervisor.recv_multipart()):
            if isinstance(message, Draining):
                services.drain()
            elif isinstance(message, Stop):
                services.drain()
                server.should_exit = True
