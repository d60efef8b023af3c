"""A server made by hand for tests of the client: real sockets, one thread, and answers that a test chooses."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

import numpy as np
import zmq

from bert_serving.client.wire import (
    Command,
    CommandRequest,
    EncodeRequest,
    decode_request,
    encode_json_reply,
    encode_rows_reply,
)

CONFIG: Mapping[str, Any] = {
    "protocol": 2,
    "server_version": "1.10.0",
    "version": "2.0.0",
    "state": "ready",
    "max_seq_len": 25,
    "show_tokens_to_client": True,
}

Request = EncodeRequest | CommandRequest
Frames = list[Any]
Answer = Callable[["PeerServer", EncodeRequest], list[Frames]]


def vectors(texts: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A row for each text that no other text has."""
    return np.array([[zlib.crc32(repr(text).encode()) % 65521, len(text)] for text in texts], np.float32)


def tokens(texts: Any) -> list[list[str]]:
    return [text.split() if isinstance(text, str) else text for text in texts]


def answer_rows(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
    """What a working server answers."""
    sent = tokens(request.texts) if peer.config.get("show_tokens_to_client") else None
    return [encode_rows_reply(request.identity, request.request_id, vectors(request.texts), sent)]


def answer_nothing(peer: PeerServer, request: EncodeRequest) -> list[Frames]:
    return []


class PeerServer:
    """PULL on `port`, XPUB on `port_out`, as a context manager.

    `answer` makes the replies to texts and may be replaced at any time; commands are answered from `config`, unless
    `is_mute`. A reply is kept until somebody has subscribed to it, as our server does. `requests` holds all that was
    received, `raw_requests` its frames.
    """

    def __init__(
        self, answer: Answer = answer_rows, config: Mapping[str, Any] = CONFIG, port: int = 0, port_out: int = 0
    ) -> None:
        self.answer = answer
        self.config = dict(config)
        self.is_mute = False
        self._topics: set[bytes] = set()
        self._kept: list[Frames] = []
        self.requests: list[Request] = []
        self.raw_requests: list[list[bytes]] = []
        self._received = threading.Condition()
        self._to_publish: SimpleQueue[Frames | None] = SimpleQueue()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._pull = self._context.socket(zmq.PULL)
        self._xpub = self._context.socket(zmq.XPUB)
        self._xpub.set(zmq.XPUB_VERBOSE, 1)
        self._xpub.set(zmq.SNDHWM, 0)
        self.port = _bind(self._pull, port)
        self.port_out = _bind(self._xpub, port_out)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="peer")
        self._thread.start()

    @property
    def ports(self) -> dict[str, Any]:
        """The arguments of a client."""
        return {"port": self.port, "port_out": self.port_out}

    def publish(self, frames: Frames) -> None:
        """Send this from the peer's thread."""
        self._to_publish.put(frames)
        self._wake_writer.send(b"\0")

    def encode_requests(self) -> list[EncodeRequest]:
        return [request for request in list(self.requests) if isinstance(request, EncodeRequest)]

    def wait_for(self, num_encode: int, num_all: int = 0, timeout_s: float = 20) -> list[EncodeRequest]:
        """Wait until so many requests have come."""

        def have_come() -> bool:
            return len(self.encode_requests()) >= num_encode and len(self.requests) >= num_all

        with self._received:
            if not self._received.wait_for(have_come, timeout_s):
                raise AssertionError(f"only {len(self.requests)} requests came")
        return self.encode_requests()

    def close(self) -> None:
        if self._thread.is_alive():
            self._to_publish.put(None)
            self._wake_writer.send(b"\0")
            self._thread.join()

    def __enter__(self) -> PeerServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self) -> None:
        poller = zmq.Poller()
        for waited in (self._pull, self._xpub, self._wake_reader):
            poller.register(waited, zmq.POLLIN)
        try:
            is_open = True
            while is_open:
                ready = dict(poller.poll())
                if self._xpub in ready:
                    self._subscribe(self._xpub.recv())
                if self._pull in ready:
                    self._take(self._pull.recv_multipart())
                if self._wake_reader.fileno() in ready:
                    is_open = self._publish_queued()
        finally:
            self._context.destroy(linger=0)
            self._wake_reader.close()
            self._wake_writer.close()

    def _take(self, frames: list[bytes]) -> None:
        request = decode_request(frames)
        self.raw_requests.append(frames)
        with self._received:
            self.requests.append(request)
            self._received.notify_all()
        for reply in self._replies(request):
            self._send(reply)

    def _subscribe(self, event: bytes) -> None:
        if event[:1] == b"\1":
            self._topics.add(event[1:])
            kept, self._kept = self._kept, []
            for reply in kept:
                self._send(reply)

    def _send(self, reply: Frames) -> None:
        if any(reply[0].startswith(topic) for topic in self._topics):
            self._xpub.send_multipart(reply)
        else:
            self._kept.append(reply)

    def _replies(self, request: Request) -> list[Frames]:
        if isinstance(request, EncodeRequest):
            return self.answer(self, request)
        if self.is_mute:
            return []
        content = dict(self.config)
        if request.command is Command.SHOW_STATUS:
            content["statistic"] = {"num_data_request": len(self.encode_requests())}
        return [encode_json_reply(request.identity, request.request_id, content)]

    def _publish_queued(self) -> bool:
        self._wake_reader.recv(1)
        frames = self._to_publish.get()
        if frames is not None:
            self._send(frames)
        return frames is not None


def _bind(sock: zmq.Socket[bytes], port: int) -> int:
    sock.bind(f"tcp://127.0.0.1:{port or '*'}")
    return int(bytes(sock.get(zmq.LAST_ENDPOINT)).decode().rpartition(":")[2])
