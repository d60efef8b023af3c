"""The keys of a client for a server with CURVE: its own pair, and the server's public one.

`bert-serving-keygen` writes them to a folder, which the operator hands to the client's owner.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.auth import load_certificate

OWN_FILE = "client.key_secret"
SERVER_FILE = "server.key"


@dataclass(frozen=True)
class ClientKeys:
    """Keys in Z85, 40 bytes each."""

    public: bytes
    secret: bytes = field(repr=False)
    server: bytes

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> ClientKeys:
        """Read `client.key_secret` and `server.key`. ValueError names the file that is missing or holds no key."""
        public, secret = _load(Path(folder) / OWN_FILE)
        server, _ = _load(Path(folder) / SERVER_FILE)
        if secret is None:
            raise ValueError(f"{Path(folder) / OWN_FILE} holds no secret key: ask the server's operator for a new one")
        return ClientKeys(public, secret, server)

    def present(self, sock: zmq.Socket[bytes]) -> None:
        """Let a socket, not connected yet, identify itself and insist on that server."""
        sock.curve_publickey, sock.curve_secretkey, sock.curve_serverkey = self.public, self.secret, self.server


def _load(path: Path) -> tuple[bytes, bytes | None]:
    try:
        return load_certificate(path)
    except (OSError, ValueError):
        raise ValueError(f"{path} is no key file: bert-serving-keygen on the server's machine makes them") from None
