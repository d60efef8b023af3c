"""Keys of the lines between our own processes wherever these are tcp: to other machines, or where ipc is refused.

They are made for one run. Orders carry them: on a child's standard input, or on the way that its launcher has. Nobody
else learns the public key of our sockets, and without it no one can shake hands with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import zmq

from bert_serving.client.keys import ClientKeys


@dataclass(frozen=True)
class RunKeys:
    """A pair for the sockets that are bound and one for those that connect to them, in Z85."""

    our_public: str
    our_secret: str = field(repr=False)
    their_public: str
    their_secret: str = field(repr=False)

    @staticmethod
    def make() -> RunKeys:
        """For one run."""
        return RunKeys(*(key.decode() for pair in (zmq.curve_keypair(), zmq.curve_keypair()) for key in pair))

    @staticmethod
    def of(values: Mapping[str, str]) -> RunKeys:
        """What `as_orders` gave."""
        return RunKeys(**values)

    def as_orders(self) -> dict[str, str]:
        """As a child's orders carry it."""
        return asdict(self)

    def protect(self, sock: zmq.Socket[Any]) -> None:
        """Let a socket, not bound yet, take those with these keys alone."""
        sock.curve_server = True
        sock.curve_publickey, sock.curve_secretkey = self.our_public.encode(), self.our_secret.encode()

    @property
    def of_child(self) -> ClientKeys:
        """What a child connects with."""
        return ClientKeys(self.their_public.encode(), self.their_secret.encode(), self.our_public.encode())
