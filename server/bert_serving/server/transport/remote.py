"""The lines between this machine and workers elsewhere: encrypted, with keys that are made for one run.

Orders carry the keys: to the sink on its standard input, to workers on the way that their launcher has. Nobody else
learns the public key of our sockets, and without it no one can shake hands with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import zmq

from bert_serving.client.keys import ClientKeys
from bert_serving.server.transport.sockets import Socket, bind_random_port


@dataclass(frozen=True)
class RemoteKeys:
    """A pair for our sockets and one for those that connect to them, in Z85."""

    our_public: str
    our_secret: str = field(repr=False)
    their_public: str
    their_secret: str = field(repr=False)

    @staticmethod
    def make() -> RemoteKeys:
        """For one run."""
        return RemoteKeys(*(key.decode() for pair in (zmq.curve_keypair(), zmq.curve_keypair()) for key in pair))

    @staticmethod
    def of(values: Mapping[str, str] | None) -> RemoteKeys | None:
        """What `as_orders` gave."""
        return None if values is None else RemoteKeys(**values)

    def as_orders(self) -> dict[str, str]:
        """As a child's orders carry it."""
        return asdict(self)

    @property
    def of_worker(self) -> ClientKeys:
        """What a worker connects with."""
        return ClientKeys(self.their_public.encode(), self.their_secret.encode(), self.our_public.encode())


def bind_remote(context: zmq.Context[Any], kind: int, host: str, keys: RemoteKeys) -> tuple[Socket, str]:
    """A socket that workers elsewhere connect to at `host`, and its address.

    The context must be one without an authenticator, which would ask for keys that it knows.
    """
    return bind_random_port(
        context, kind, host, curve_publickey=keys.our_public.encode(), curve_secretkey=keys.our_secret.encode()
    )
