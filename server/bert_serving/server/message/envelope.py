"""What a part of a request and its rows carry of the request: one object that travels whole. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.wire import decode_options, encode_options

_HEAD = Struct("<qqHB")  # job, total, bytes of the identity and of the request id; these and the options follow


@dataclass(slots=True)  # not frozen, which would take four times as long for every part
class Envelope:
    """A request of `total` rows, which is this job of the ventilator, and whom to answer.

    `options` are those that change the answer. Until when somebody waits for it, each part says.
    """

    job: int
    total: int
    identity: bytes
    request_id: bytes
    options: Options = NO_OPTIONS

    def encode(self) -> bytes:
        """As it travels inside other messages."""
        sizes = len(self.identity), len(self.request_id)
        fixed = _HEAD.pack(self.job, self.total, *sizes) + self.identity + self.request_id
        return fixed if self.options is NO_OPTIONS else fixed + encode_options(self.options)

    @staticmethod
    def decode(content: bytes) -> Envelope:
        """What `encode` made. Raises ValueError or struct.error for anything else."""
        job, total, identity_size, id_size = _HEAD.unpack_from(content)
        middle = _HEAD.size + identity_size
        end = middle + id_size
        if end > len(content):
            raise ValueError("an envelope is truncated")
        options = decode_options(content[end:]) if end < len(content) else NO_OPTIONS
        return Envelope(job, total, content[_HEAD.size : middle], content[middle:end], options)
