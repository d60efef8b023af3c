"""A client of two sockets that speaks in frames, as one in another language would."""

from __future__ import annotations

import zmq

from bert_serving.client.keys import ClientKeys
from bert_serving.client.wire import Reply, decode_reply
from bert_serving.server import BertServer

ANSWER_TIMEOUT_MS = 30_000


class RawClient:
    """Frames in, frames out, as another language would send them."""

    def __init__(self, server: BertServer, subscription: bytes, keys: ClientKeys | None = None) -> None:
        self._context = zmq.Context()
        self.push, self.sub = self._context.socket(zmq.PUSH), self._context.socket(zmq.SUB)
        if keys is not None:
            keys.present(self.push)
            keys.present(self.sub)
        self.push.connect(f"tcp://127.0.0.1:{server.config.port}")
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
