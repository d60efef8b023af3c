"""The keys of a client for a server with CURVE: its own key pair, and the server's public key.

`bert-serving-keygen` writes them to a folder, which the operator hands to the client's owner. Key files are read here
for the server, too.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

import zmq

OWN_FILE = "client.key_secret"
SERVER_FILE = "server.key"
LONGEST_FILE = 1 << 16
"""Bytes. One that `bert-serving-keygen` makes has some 500."""

_ALPHABET = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_LINE = re.compile(rb"[ \t]*(public|secret)-key[ \t]*=[ \t]*([\"']?)([^\s\"']*)\2[ \t]*\r?")


@dataclass(frozen=True)
class KeyFile:
    """What a key file holds, in Z85; `secret` is None in one for others to see."""

    public: bytes
    secret: bytes | None = field(repr=False)

    @staticmethod
    def read(path: Path) -> KeyFile:
        """OSError if it cannot be read, ValueError with the end of a sentence that begins with its name."""
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting, a device would never end
            raise ValueError("is not a file")
        with path.open("rb") as file:
            return KeyFile.parse(file.read(LONGEST_FILE + 1))

    @staticmethod
    def parse(content: bytes) -> KeyFile:
        """Read what `zmq.auth.create_certificates` writes, of which all but the keys is left out of account."""
        if len(content) > LONGEST_FILE:
            raise ValueError(f"is larger than {LONGEST_FILE} bytes, so it is not a key file")
        found: dict[bytes, set[bytes]] = {b"public": set(), b"secret": set()}
        for line in content.split(b"\n"):
            if match := _LINE.fullmatch(line):
                found[match[1]].add(match[3])
        if len(found[b"public"]) != 1:
            raise ValueError("contains no public key" if not found[b"public"] else "contains more than one public key")
        if len(found[b"secret"]) > 1:
            raise ValueError("contains more than one secret key")
        keys = [key for kind in (b"public", b"secret") for key in found[kind]]
        if not all(map(_is_key, keys)):
            raise ValueError("contains an invalid key: a key has 40 characters of Z85")
        return KeyFile(keys[0], keys[1] if len(keys) > 1 else None)

    def fits(self) -> bool:
        """Whether the public key is that of the secret one."""
        return self.secret is not None and zmq.curve_public(self.secret) == self.public


@dataclass(frozen=True)
class ClientKeys:
    """Keys in Z85, 40 bytes each."""

    public: bytes
    secret: bytes = field(repr=False)
    server: bytes

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> ClientKeys:
        """Read `client.key_secret` and `server.key`. ValueError names the file that is missing or holds no key."""
        own, server = _load(Path(folder) / OWN_FILE), _load(Path(folder) / SERVER_FILE)
        if own.secret is None or not own.fits():
            raise ValueError(
                f"{Path(folder) / OWN_FILE} contains no secret key: ask the server's operator for a new one"
            )
        return ClientKeys(own.public, own.secret, server.public)

    def present(self, sock: zmq.Socket[bytes]) -> None:
        """Let a socket, not connected yet, identify itself and insist on that server."""
        sock.curve_publickey, sock.curve_secretkey, sock.curve_serverkey = self.public, self.secret, self.server


def _is_key(key: bytes) -> bool:
    """Whether it is Z85 of 32 bytes: each five characters a number below 2**32."""
    if len(key) != 40:
        return False
    digits = [_ALPHABET.find(character) for character in key]
    numbers = [
        sum(digit * 85**place for place, digit in enumerate(reversed(digits[at : at + 5]))) for at in range(0, 40, 5)
    ]
    return min(digits) >= 0 and max(numbers) < 2**32


def _load(path: Path) -> KeyFile:
    try:
        return KeyFile.read(path)
    except (OSError, ValueError):
        raise ValueError(
            f"{path} is not a key file: make one with bert-serving-keygen on the server's machine"
        ) from None
