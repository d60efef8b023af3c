"""A request as it is read: its texts checked, cut into parts, and not kept as objects. Pure; the intake asks it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from bert_serving.client.errors import MalformedMessage
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.wire import EncodeRequest, Texts, decode_texts
from bert_serving.server.message import json_texts
from bert_serving.server.ventilator.text_list import SLICE_BYTES, Parts, TextList

AT_ONCE_BYTES = 4 * SLICE_BYTES
"""Texts of so many bytes are read in one go."""

WRITTEN_AGAIN_BYTES = 1 << 14
"""The parts of such a short list are written again, which is faster than to find where they end in it."""


@dataclass(slots=True)  # not frozen, which would take four times as long for every request
class ReadRequest:
    """Texts to encode, ready to be accepted: `parts` has all `total` of them.

    `size` is in bytes. `digest` tells the very same texts again. `answer_bytes` is at most about what the answer will
    take, 0 if that is not known.
    """

    identity: bytes
    request_id: bytes
    total: int
    parts: Parts
    size: int
    digest: bytes
    options: Options = NO_OPTIONS
    answer_bytes: int = 0
    connection: int | None = None
    """By which it came, 0 if that has gone, None if it came by none: identities are free to choose, so turns go by
    connections, and all that have gone share one."""
    key_name: str | None = None
    """Of the key that it came with, if there are keys."""

    @property
    def client(self) -> bytes:
        """Whose turn it takes. No identity begins with a zero byte."""
        return self.identity if self.connection is None else b"\0%d" % self.connection


class Reading:
    """The `total` texts of one message, on their way to `parts` of at most `step`; `read` as long as it is not done.

    `longest` is about how many characters the longest text has.
    """

    def __init__(self, content: memoryview, total: int, step: int) -> None:
        self.size = len(content)
        self.total = total
        self._step = step
        self._content = content
        is_short = self.size <= (AT_ONCE_BYTES if total <= step else WRITTEN_AGAIN_BYTES)
        self._texts = None if is_short else TextList(content, total, step)
        self.parts: Parts = {}
        self.digest = b""
        self.longest = 0

    def read(self) -> bool:
        """Read on, about a slice; whether that was all. Raises MalformedMessage, without the sender."""
        if self._texts is None:
            self._read_short(bytes(self._content))
            return True
        if not self._texts.read():
            return False
        self.parts, self.digest, self.longest = self._texts.parts, self._texts.digest, self._texts.longest
        return True

    def _read_short(self, content: bytes) -> None:
        """If all is one part, a worker gets what the client wrote; nothing is written again."""
        texts = json_texts.read(content) or decode_texts(content)
        if len(texts) != self.total:
            raise MalformedMessage(f"frame 3 says {self.total} texts, but frame 1 holds {len(texts)}")
        self.parts = {0: (self.total, content)} if self.total <= self._step else _parts_of(texts, self._step)
        self.digest = blake2b(content, digest_size=16).digest()
        self.longest = max(map(len, texts))


def _parts_of(texts: Texts, step: int) -> Parts:
    parts = {}
    for offset in range(0, len(texts), step):
        part = texts[offset : offset + step]
        parts[offset] = (len(part), json_texts.write(part))
    return parts


def read_of(request: EncodeRequest, step: int) -> ReadRequest:
    """A request that was not read from a socket, in parts of `step`."""
    parts = _parts_of(request.texts, step)
    contents = [content for _, content in parts.values()]
    digest = blake2b(b"".join(contents), digest_size=16).digest()
    size, total = sum(map(len, contents)), len(request.texts)
    return ReadRequest(request.identity, request.request_id, total, parts, size, digest, request.options)
