"""CURVE on the public ports: the server's own keys, and who may connect. Ventilator and sink open one gate each.

A key folder, made by `bert-serving-keygen`:

    server.key_secret, server.key    the server's pair
    clients/NAME.key                 the public key of each client that may connect; to revoke it, remove the file
    for_clients/NAME/                what the client's owner gets: client.key_secret and server.key

A key whose file name begins with `admin` may also stop the server from another machine.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from zmq.auth import create_certificates, load_certificate
from zmq.auth.thread import ThreadAuthenticator

from bert_serving.client.keys import OWN_FILE, SERVER_FILE
from bert_serving.server.errors import StartError

log = logging.getLogger(__name__)

CLIENTS = "clients"
FOR_CLIENTS = "for_clients"
ADMIN_PREFIX = "admin"
LOOK_INTERVAL_S = 1.0
_ZAP_DOMAIN = "bert-serving"


@dataclass(frozen=True)
class ServerKeys:
    """The server's pair, in Z85."""

    public: bytes
    secret: bytes = field(repr=False)

    @staticmethod
    def load(folder: Path) -> ServerKeys:
        """StartError if there is none in `folder`."""
        try:
            public, secret = load_certificate(folder / "server.key_secret")
        except (OSError, ValueError):
            secret = None
        if secret is None or not (folder / CLIENTS).is_dir():
            raise StartError(f"-curve_dir {folder} holds no keys: bert-serving-keygen {folder} NAME makes them")
        return ServerKeys(public, secret)

    def protect(self, sock: zmq.Socket[bytes]) -> None:
        """Let a socket, not bound yet, take clients with known keys alone."""
        sock.curve_server = True
        sock.curve_publickey, sock.curve_secretkey = self.public, self.secret
        sock.zap_domain = _ZAP_DOMAIN.encode()


@dataclass(frozen=True)
class Insider:
    """The gateway, which is a client of its own server: its public key, and the folder with what it needs."""

    public: bytes
    folder: Path

    @staticmethod
    def make(curve_dir: str, folder: Path) -> Insider:
        """Make its keys in `folder`, which nobody else can read, for this run alone."""
        inside = folder / "gateway"
        inside.mkdir(mode=0o700)
        public, _ = load_certificate(create_certificates(inside, OWN_FILE.removesuffix(".key_secret"))[1])
        (inside / SERVER_FILE).write_bytes((Path(curve_dir) / SERVER_FILE).read_bytes())
        return Insider(public, inside)


class Gate:
    """Who may connect to the sockets of one context."""

    def __init__(self, folder: Path, insider: bytes | None = None) -> None:
        self._folder = folder / CLIENTS
        self._insiders = frozenset() if insider is None else frozenset([insider])
        self._known: frozenset[bytes] = frozenset()
        self._admins: frozenset[bytes] = frozenset()
        self._seen: list[tuple[str, int]] | None = None
        self._looked_s = -LOOK_INTERVAL_S
        self.refresh()

    def refresh(self) -> None:
        """Read the clients' keys again if a file has come, gone or changed; looks at most once a second."""
        now_s = time.monotonic()
        if now_s < self._looked_s + LOOK_INTERVAL_S:
            return
        self._looked_s = now_s
        try:
            files = sorted(self._folder.glob("*.key"))
            seen = [(str(path), path.stat().st_mtime_ns) for path in files]
            if seen == self._seen:
                return
            keys = {path: load_certificate(path)[0] for path in files}
        except (OSError, ValueError) as error:  # a file that is just being written or removed: next time
            log.warning("the clients' keys could not be read: %s", error)
            return
        self._known = self._insiders | frozenset(keys.values())
        self._admins = frozenset(key for path, key in keys.items() if path.name.startswith(ADMIN_PREFIX))
        self._seen = seen
        log.info("%d client key(s) may connect", len(keys))

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a client with this key may connect; called by the authenticator, in its thread."""
        return key in self._known

    def knows(self, user: str | None) -> bool:
        """Whether the key that a frame came with still may: it may have been revoked since it connected."""
        return user is not None and user.encode() in self._known

    def is_admin(self, user: str | None) -> bool:
        """Whether the key that a frame came with may stop the server."""
        return user is not None and user.encode() in self._admins


@contextmanager
def open_gate(context: zmq.Context[Any], folder: str | None, insider: bytes | None) -> Iterator[Gate | None]:
    """The gate of this context's sockets; None without a key folder. The key `insider` needs no file in it."""
    if folder is None:
        yield None
        return
    logging.getLogger("zmq.auth").setLevel(logging.ERROR)  # it would log keys
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    gate = Gate(Path(folder), insider)
    authenticator.configure_curve_callback(_ZAP_DOMAIN, gate)
    try:
        yield gate
    finally:
        authenticator.stop()


def make_keys(folder: Path, names: list[str]) -> list[Path]:
    """Make the server's pair if there is none, and one for each named client; the folders to hand out.

    FileExistsError if a client of that name is there already.
    """
    for part in (folder, folder / CLIENTS, folder / FOR_CLIENTS):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    old_mask = os.umask(0o077)
    try:
        if not (folder / "server.key_secret").exists():
            create_certificates(folder, "server")
        return [_make_client(folder, name) for name in names]
    finally:
        os.umask(old_mask)


def _make_client(folder: Path, name: str) -> Path:
    handed_out = folder / FOR_CLIENTS / name
    handed_out.mkdir()
    create_certificates(handed_out, OWN_FILE.removesuffix(".key_secret"))
    (handed_out / "client.key").rename(folder / CLIENTS / f"{name}.key")
    (handed_out / SERVER_FILE).write_bytes((folder / "server.key").read_bytes())
    return handed_out
