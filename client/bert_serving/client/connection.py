"""The callers' end of one connection to a server: threads and event loops share it, the loop's thread does the work."""

from __future__ import annotations

import errno
import os
import threading
import time
from concurrent.futures import Future
from typing import Any

import zmq

from bert_serving.client.errors import ClientClosed, ConnectFailed, InvalidInputValue
from bert_serving.client.green import patched_by
from bert_serving.client.keys import ClientKeys
from bert_serving.client.link import Link
from bert_serving.client.loop import Loop
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.pending import Asked, Kind, Listener, Pending
from bert_serving.client.wire import Command, Texts, encode_command, encode_request


class Connection:
    """Requests in, futures out. Every method may be called from any thread; none blocks but `close`.

    After `close`, and in a process that was forked off, every method raises ClientClosed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        port_out: int,
        identity: bytes,
        connect_timeout_ms: int,
        keys: ClientKeys | None = None,
        first_id: int = 1,
    ) -> None:
        connect_timeout_s = connect_timeout_ms / 1000 if connect_timeout_ms >= 0 else float("inf")
        self.pending = Pending(first_id)
        self.max_bytes: int | None = None
        """The largest frame that the server takes, once its config is known."""
        self._identity = identity
        self._pid = os.getpid()
        self._patched_by = patched_by()
        named = (port, "port"), (port_out, "port_out")
        links = [Link(host, number, name, has_keys=keys is not None) for number, name in named]
        try:
            self._loop = Loop(links[0], links[1], identity, self.pending, connect_timeout_s, keys)
        except (OSError, zmq.ZMQError) as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            raise ConnectFailed(
                "this process cannot open more files, and a client needs about ten: close some, or raise the "
                "limit (ulimit -n)"
            ) from None
        # A daemon, so that a program that never closes its client still ends.
        self._thread = threading.Thread(target=self._loop.run, name="bert-serving-client", daemon=True)
        self._thread.start()

    @property
    def is_ours(self) -> bool:
        """Whether this process made it, and no one that it was forked from."""
        return self._pid == os.getpid()

    def check_usable(self) -> None:
        """Raises ClientClosed where its thread does not run: everybody would wait for ever."""
        if not self.is_ours:
            raise ClientClosed(
                "this client was created before a fork: create a new one in each process, for example with "
                "copy.copy(client)"
            )
        if patched_by() != self._patched_by:
            raise ClientClosed(
                f"this client was created before {patched_by()} patched threads: patch first, then create the client"
            )

    def handshake(self) -> Future[dict[str, Any]]:
        """Config of the server, once it is ready. Fails with ConnectFailed after the connect timeout."""
        self.check_usable()
        if not self._thread.is_alive():
            raise ClientClosed("the client is closed")
        return self._loop.shake_hands().future

    def request_rows(self, texts: Texts, options: Options = NO_OPTIONS) -> Asked:
        """Send texts to encode. InvalidInputValue if they are too large for the server."""
        self.check_usable()

        def build(request_id: int) -> list[bytes]:
            frames = encode_request(self._identity, request_id, texts)
            if self.max_bytes is not None and len(frames[1]) > self.max_bytes:
                size, limit = len(frames[1]) / 2**20, self.max_bytes >> 20
                raise InvalidInputValue(
                    f"the texts take {size:.0f} MB, but the server accepts at most {limit} MB in one message "
                    "(-max_msg_size): "
                    "send them in several calls"
                )
            return frames

        asked = self.pending.ask(Kind.ROWS, build, options, options.deadline_s(time.monotonic()))
        self._loop.send(asked)
        return asked

    def request_json(self, command: Command) -> Asked:
        """Ask for config or status."""
        self.check_usable()
        asked = self.pending.ask(Kind.JSON, lambda id_: encode_command(self._identity, id_, command))
        self._loop.send(asked)
        return asked

    def expect(self, fingerprint: str | None) -> None:
        """From now on rows of a model with another fingerprint become ModelMismatch."""
        self.pending.expect_fingerprint = fingerprint

    def listen(self) -> Listener:
        """Hear replies to others of the same identity."""
        self.check_usable()
        return self.pending.listen()

    def stop(self) -> None:
        """Begin to close, and wait for nothing."""
        if self.is_ours:
            self._loop.stop()

    def close(self) -> None:
        """Fail what is pending with ClientClosed, close the sockets and wait for the thread to end."""
        self.stop()
        if self.is_ours and self._thread is not threading.current_thread():
            self._thread.join()
