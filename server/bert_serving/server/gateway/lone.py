"""The gateway without a server of its own: the services that a table names, until it is told to stop.

SIGHUP ──read_again──▶ the table is read ──▶ new services join ──▶ it counts; those that leave finish their requests
                           └── it is broken: the old one stays
SIGTERM ──stop──▶ new requests are refused, accepted ones finish, at most -drain_timeout ──▶ the end
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError
from bert_serving.server.gateway.app import create_app
from bert_serving.server.gateway.backend import Backend, Shared
from bert_serving.server.gateway.http_server import HttpServer
from bert_serving.server.gateway.model_table import Models, Place
from bert_serving.server.gateway.protocol import PatientProtocol, most_connections
from bert_serving.server.gateway.services import Services
from bert_serving.server.gateway.together import until_one_ends

log = logging.getLogger(__name__)

READY_INTERVAL_S = 0.1


class LoneGateway:
    """`read` gives the table, now and whenever it is read again; of `config` the options of HTTP count.

    To be made, and used, in the thread of the loop that runs it.
    """

    def __init__(self, config: ServerConfig, models: Models, read: Callable[[], Models]) -> None:
        self._config = config
        self._read = read
        self._services = Services(Shared(config))
        self._services.begin_with(models, self._make)
        self._protocol = PatientProtocol.with_most(self._most_connections)
        self._server = HttpServer(create_app(self._services, config), self._protocol)
        self._is_to_read = asyncio.Event()
        self._is_to_stop = asyncio.Event()

    async def serve(self, listener: socket.socket) -> None:
        """Answer those who come to `listener`, until `stop`."""
        log.info("listening on %s:%s for %s", *listener.getsockname()[:2], self._services)
        server = self._server.serve(sockets=[listener])
        await until_one_ends(
            server, self._services.run(), self._say_ready(), self._read_when_told(), self._stop_when_told()
        )

    def read_again(self) -> None:
        """Go by the table as it is now, if it can be read."""
        self._is_to_read.set()

    def stop(self) -> None:
        """Finish what was accepted and end; a second time, end at once."""
        if self._is_to_stop.is_set():
            self._server.should_exit = self._server.force_exit = True
        self._is_to_stop.set()

    async def _say_ready(self) -> None:
        while self._services.trouble is not None:
            await asyncio.sleep(READY_INTERVAL_S)
        log.info("all set, ready to serve request!")
        await asyncio.Event().wait()

    async def _read_when_told(self) -> None:
        while True:
            await self._is_to_read.wait()
            self._is_to_read.clear()
            try:
                models = self._read()
            except BertServerError as error:
                log.error("the models stay as they are: %s", error)
                continue
            await self._services.move_to(models, self._make)
            self._protocol.most = self._most_connections
            log.info("the models are now %s", self._services.described)

    async def _stop_when_told(self) -> None:
        await self._is_to_stop.wait()
        log.info("stopping: what was accepted is finished first")
        self._services.drain()
        try:
            await asyncio.wait_for(self._services.wait_until_idle(), self._config.drain_timeout)
        except (TimeoutError, asyncio.TimeoutError):  # two types until Python 3.11
            log.warning("requests are not done within %d s (-drain_timeout)", self._config.drain_timeout)
        self._server.should_exit = True
        await asyncio.Event().wait()  # the server's end is that of all

    def _make(self, place: Place) -> Backend:
        return Backend(self._config, place.curve, place, self._services.shared)

    @property
    def _most_connections(self) -> int:
        number = sum(1 for _ in self._services.members)
        return most_connections(number * self._config.http_max_connect)
