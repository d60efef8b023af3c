"""CURVE on the public ports: the server's own keys, and who may connect. Ventilator and sink open one gate each.

A key folder, made by `bert-serving-keygen`:

    server.key_secret, server.key    the server's pair
    clients/NAME.key                 the public key of each client that may connect; to revoke it, remove the file
    for_clients/NAME/                what the client's owner gets: client.key_secret and server.key

A key whose file name begins with `admin` may also stop the server from another machine. The gate looks at the clients'
files about once a second, see `key_files.py`.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from zmq.auth import create_certificates
from zmq.auth.thread import ThreadAuthenticator

from bert_serving.client.keys import OWN_FILE, SERVER_FILE, KeyFile
from bert_serving.server.errors import StartError
from bert_serving.server.transport.key_files import SUFFIX, KeyFolder, Keys

log = logging.getLogger(__name__)

CLIENTS = "clients"
FOR_CLIENTS = "for_clients"
SECRET_FILE = "server.key_secret"
LOOK_INTERVAL_S = 1.0
ZAP_DOMAIN = "bert-serving"


@dataclass(frozen=True)
class ServerKeys:
    """The server's pair, in Z85."""

    public: bytes
    secret: bytes = field(repr=False)

    @staticmethod
    def load(folder: Path) -> ServerKeys:
        """StartError says what is wrong with the pair in `folder`."""
        pair = _load(folder, SECRET_FILE)
        if pair.secret is None or not pair.fits():
            raise StartError(f"{folder / SECRET_FILE} (-curve_dir) contains no key pair: {_make_anew(folder)}")
        if (folder / SERVER_FILE).exists() and _load(folder, SERVER_FILE).public != pair.public:
            raise StartError(
                f"{folder / SERVER_FILE} (-curve_dir) does not belong to {SECRET_FILE}: {_make_anew(folder)}"
            )
        return ServerKeys(pair.public, pair.secret)

    def protect(self, sock: zmq.Socket[bytes]) -> None:
        """Let a socket, not bound yet, take clients with known keys alone."""
        sock.curve_server = True
        sock.curve_publickey, sock.curve_secretkey = self.public, self.secret
        sock.zap_domain = ZAP_DOMAIN.encode()
        sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without an authenticator nobody gets in, instead of everybody


def check_keys(folder: Path, has_gateway: bool = False) -> None:
    """Raise StartError if a server with this folder could not speak with anybody.

    One that has a gateway needs no client's key: with none there, ZeroMQ is closed to all but those who use HTTP.
    """
    ServerKeys.load(folder)
    make_one = f"bert-serving-keygen {folder} NAME makes one"
    if not (folder / CLIENTS).is_dir():
        raise StartError(f"-curve_dir {folder} has no folder {CLIENTS}: {make_one}, and a client's key in it")
    files = KeyFolder(folder / CLIENTS)
    if files.look(time.time()).known or (has_gateway and not files.faults()):
        return
    why = "".join(f"; {name} {fault}" for name, fault in list(files.faults().items())[:1])
    raise StartError(
        f"-curve_dir {folder} contains no readable key of a client, so nobody could connect: {make_one}{why}"
    )


@dataclass(frozen=True)
class Insider:
    """The gateway, which is a client of its own server: its public key, and the folder with what it needs."""

    public: str
    folder: Path

    @staticmethod
    def make(curve_dir: str, folder: Path) -> Insider:
        """Make its keys in `folder`, which nobody else can read, for this run alone."""
        inside = folder / "gateway"
        inside.mkdir(mode=0o700)
        create_certificates(inside, OWN_FILE.removesuffix(".key_secret"))
        _write_server_key(inside, ServerKeys.load(Path(curve_dir)).public)
        return Insider(KeyFile.read(inside / OWN_FILE).public.decode(), inside)


class Gate:
    """Who may connect to the sockets of one context, and who still may of those that have. For any thread."""

    def __init__(self, folder: Path, insider: str | None = None) -> None:
        self._files = KeyFolder(folder / CLIENTS)
        self._insiders = frozenset() if insider is None else frozenset([insider])
        self._keys = Keys(self._insiders)
        self._looked_s = -LOOK_INTERVAL_S
        self._looking = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Look at the clients' keys again, at most once a second. Never raises: where none can be read, all are out."""
        if not self._looking.acquire(blocking=False):
            return  # another thread is at it
        try:
            now_s = time.monotonic()
            if now_s >= self._looked_s + LOOK_INTERVAL_S:
                self._looked_s = now_s
                self._look()
        finally:
            self._looking.release()

    def _look(self) -> None:
        try:
            found = self._files.look(time.time())
        except Exception:  # whatever it is: those who ask must get an answer
            log.error("the clients' keys could not be read: no key is known", exc_info=True)
            found = Keys()
        keys = Keys(self._insiders | found.known, found.admins, found.names)
        if keys != self._keys:
            log.info("%d client key(s) may connect", len(found.known))
        self._keys = keys

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a client with this key may connect; called by the authenticator, in its thread."""
        self.refresh()
        return key.decode("ascii", "replace") in self._keys.known

    def knows(self, user: str | None) -> bool:
        """Whether the key that a connection or a frame came with still may: it may have been revoked since."""
        return user in self._keys.known

    @property
    def names(self) -> frozenset[str]:
        """Of all keys that have a file."""
        return frozenset(self._keys.names.values())

    def name_of(self, user: str | None) -> str | None:
        """The name of the key that a frame came with; None if it has none, such as the gateway's."""
        return None if user is None else self._keys.names.get(user)

    def is_admin(self, user: str | None) -> bool:
        """Whether the key that a frame came with may stop the server."""
        return user in self._keys.admins


@contextmanager
def open_gate(context: zmq.Context[Any], folder: str | None, insider: str | None) -> Iterator[Gate | None]:
    """The gate of this context's sockets; None without a key folder. The key `insider` needs no file in it."""
    if folder is None:
        yield None
        return
    logging.getLogger("zmq.auth").setLevel(logging.ERROR)  # it would log keys
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    gate = Gate(Path(folder), insider)
    authenticator.configure_curve_callback(ZAP_DOMAIN, gate)
    try:
        yield gate
    finally:
        authenticator.stop()


def make_keys(folder: Path, names: list[str]) -> list[Path]:
    """Make the server's pair if there is none, and one for each named client; the folders to hand out.

    FileExistsError if a client of that name already exists, StartError if the server's pair is broken.
    """
    for part in (folder, folder / CLIENTS, folder / FOR_CLIENTS):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    old_mask = os.umask(0o077)
    try:
        if not (folder / SECRET_FILE).exists():
            create_certificates(folder, "server")
        server = ServerKeys.load(folder)
        return [_make_client(folder, name, server) for name in names]
    finally:
        os.umask(old_mask)


def _make_client(folder: Path, name: str, server: ServerKeys) -> Path:
    key = folder / CLIENTS / f"{name}{SUFFIX}"
    if key.exists():
        raise FileExistsError(errno.EEXIST, "a client of that name already exists", str(key))
    handed_out = folder / FOR_CLIENTS / name
    handed_out.mkdir()
    create_certificates(handed_out, OWN_FILE.removesuffix(".key_secret"))
    _write_server_key(handed_out, server.public)
    (handed_out / "client.key").rename(key)  # at once: a server that looks sees a whole file
    return handed_out


def _write_server_key(folder: Path, public: bytes) -> None:
    (folder / SERVER_FILE).write_bytes(b'metadata\ncurve\n    public-key = "%s"\n' % public)


def _load(folder: Path, name: str) -> KeyFile:
    try:
        return KeyFile.read(folder / name)
    except FileNotFoundError:
        raise StartError(f"-curve_dir {folder} has no keys: make them with bert-serving-keygen {folder} NAME") from None
    except OSError as error:
        raise StartError(f"{folder / name} (-curve_dir) cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise StartError(f"{folder / name} (-curve_dir) {error}: {_make_anew(folder)}") from None


def _make_anew(folder: Path) -> str:
    return f"move {folder} away, then make all keys again with bert-serving-keygen {folder} NAME"
