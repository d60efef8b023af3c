"""A client of two sockets that speaks in frames, as one in another language would."""

from __future__ import annotations

import zmq

from bert_serving.client.wire import Reply, decode_reply
from bert_serving.server import BertServer

ANSWER_TIMEOUT_MS = 30_000


class RawClient:
    """Frames in, frames out, as another language would send them."""

    def __init__(self, server: BertServer, subscription: bytes) -> None:
        self._context = zmq.Context()
        self.push = self._context.socket(zmq.PUSH)
        self.push.connect(f"tcp://127.0.0.1:{server.config.port}")
        self.sub = self._context.socket(zmq.SUB)
        self.sub.subscribe(subscription)
        self.results = f"tcp://127.0.0.1:{server.config.port_out}"
        self.sub.connect(self.results)

    def ask(self, *frames: bytes) -> Reply:
        self.push.send_multipart(frames)
        return self.receive()

    def receive(self) -> Reply:
        assert self.sub.poll(ANSWER_TIMEOUT_MS), "no answer"
        return decode_reply(self.sub.recv_multipart())

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self._context.destroy(linger=0)
