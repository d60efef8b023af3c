"""What the blocking and the asyncio client share: arguments, checks, and how a reply becomes a result."""

from __future__ import annotations

import os
import sys
import uuid
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from bert_serving.client.checks import TruncationWarning, check_texts, guess_truncated, truncation_text
from bert_serving.client.connection import Connection
from bert_serving.client.encoding import Tokens, Vectors
from bert_serving.client.endpoints import checked_endpoints
from bert_serving.client.errors import ClientClosed, InvalidInputValue, RequestTimeout, VersionMismatch, in_short
from bert_serving.client.fingerprints import fingerprint_in, mismatch
from bert_serving.client.keys import ClientKeys
from bert_serving.client.multi_server import MultiServer
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.pending import Asked
from bert_serving.client.stream import STREAM_WINDOW, Encoded
from bert_serving.client.wire import LEGACY_SERVER_VERSION, MAX_IDENTITY_BYTES, RowsReply, Spans

VERSION = "2.0.0"

_T = TypeVar("_T")
_PACKAGE_DIR = os.path.dirname(__file__) + os.sep
_LEGACY_SERIES = LEGACY_SERVER_VERSION.rpartition(".")[0] + "."


class Response(NamedTuple):
    """Answer to one request.

    `embedding` is `[B, D]` or `[B, T, D]`; `tokens` has a list of str for each row; None if the server does not
    send them.
    """

    id: int
    embedding: Vectors
    tokens: Tokens | None


class WithOffsets(NamedTuple):
    """What `encode(.., offsets=True)` returns: vectors, and the character positions of tokens and chunks.

    `tokens` and `offsets` have an entry for each token of each row, `[0, 0]` for a token that is not part of the text;
    None from a server without `-show_tokens_to_client`. `chunks` are the parts of each text with `truncate="chunks"`,
    else None.
    """

    embedding: Vectors
    tokens: Tokens | None
    offsets: list[Spans] | None
    chunks: list[Spans] | None


class BaseClient:
    """A client of one server; see `__init__` for the arguments, `BertClient` and `AsyncBertClient` for the rest."""

    _first_id = 1  # of requests: 1.10's users rely on it; who must not be guessed has another

    @in_short
    def __init__(
        self,
        ip: str | Sequence[str] = "localhost",
        port: int = 5555,
        port_out: int = 5556,
        output_fmt: Literal["ndarray", "list"] = "ndarray",
        show_server_config: bool = False,
        identity: str | bytes | None = None,
        check_version: bool = True,
        check_length: bool = True,
        check_token_info: bool = True,
        ignore_all_checks: bool = False,
        timeout: int = -1,
        *,
        connect_timeout: int = 10_000,
        curve: str | os.PathLike[str] | None = None,
        endpoints: Sequence[str] | None = None,
        expect_fingerprint: str | None = None,
    ) -> None:
        """Connect.

        Args:
            ip: host name or address of the server; or a list of several servers with the same model and options:
                requests are distributed over them, and move to another one if a server is lost.
            port: port that takes requests.
            port_out: port that publishes replies.
            output_fmt: "ndarray", or "list" for nested lists of float.
            show_server_config: print the server's config once connected.
            identity: this client's name for the server, any str or bytes of at most 4,096 bytes without a zero byte;
                by default a UUID. Clients that share an identity all receive each other's replies; see
                `BertClient.listen`. A copied or unpickled client gets a new UUID.
            check_version: refuse a server that speaks another protocol.
            check_length: warn with TruncationWarning about texts longer than the server's `max_seq_len`. The server
                says which ones it cut; for a 1.10 server, words are counted before sending.
            check_token_info: ask whether the server sends tokens.
            ignore_all_checks: connect without asking the server anything, so that it need not be running yet.
            timeout: maximum milliseconds for a whole call; -1 waits as long as the server is reachable.
            connect_timeout: milliseconds to wait for a server to become ready, or to come back if it was lost; -1 waits
                forever.
            curve: folder with this client's keys, for a server with `-curve_dir`: traffic is encrypted, and both sides
                are authenticated.
            endpoints: servers, as "HOST:PORT:PORT_OUT", or "HOST" with `port` and `port_out`; replaces `ip`.
            expect_fingerprint: fingerprint of the model whose vectors you already have, from `server_config["model"]`;
                vectors of any other model, or with other options, are refused.

        Raises:
            ValueError, TypeError: an invalid argument.
            ConnectFailed: no usable server within `connect_timeout`.
            VersionMismatch: the server speaks another protocol.
            ModelMismatch: the server's model is not the one that `expect_fingerprint` names.
        """
        self._arguments = {name: value for name, value in locals().items() if name != "self"}
        self.ip = ip
        self.port = port
        self.port_out = port_out
        self._endpoints = checked_endpoints(ip, port, port_out, endpoints)
        if output_fmt not in ("ndarray", "list"):
            raise AttributeError(f'output_fmt must be "ndarray" or "list", not {output_fmt!r}')  # the type 1.10 raised
        self.output_fmt = output_fmt
        self.identity = _checked_identity(identity)
        self.timeout = _checked_timeout("timeout", timeout)
        self.connect_timeout = _checked_timeout("connect_timeout", connect_timeout)
        self._expect_fingerprint = _checked_fingerprint(expect_fingerprint)
        self._keys = None if curve is None else ClientKeys.load(curve)
        self._show_server_config = show_server_config
        self._check_version = check_version and not ignore_all_checks
        self._check_length = check_length and not ignore_all_checks
        self._needs_config = not ignore_all_checks and (
            check_version or check_length or check_token_info or show_server_config
        )
        self._max_seq_len: int | None = None
        self._is_legacy_server = False
        self._takes_options = False  # until the server has said that it does
        self._config: dict[str, Any] = {}
        self._connection: Connection | MultiServer | None = None
        self._start()

    @property
    def where(self) -> str:
        """The servers, as "HOST:PORT:PORT_OUT" each."""
        return ", ".join(map(str, self._endpoints))

    def __repr__(self) -> str:
        asked, pending = self._connection.pending.num_asked if self._connection else 0, len(self._pending_ids())
        identity = self.identity.decode("utf-8", "backslashreplace")
        return f"<{type(self).__name__} of {self.where}, identity {identity}, {asked} requests, {pending} pending>"

    def __reduce__(self) -> Any:
        """A copied or unpickled client makes a new connection, with the same arguments.

        It gets a new identity, because clients that share one receive each other's answers. Keys are not copied, only
        the path of their folder, which must exist there, too.
        """
        now = {"output_fmt": self.output_fmt, "timeout": self.timeout, "expect_fingerprint": self._expect_fingerprint}
        return made_anew, (type(self), {**self._arguments, **now, "identity": None})

    def _start(self) -> None:
        """Connect, if the constructor does."""

    # -- connecting --

    def _connect(self) -> Connection | MultiServer:
        connection: Connection | MultiServer
        about = self.identity, self.connect_timeout, self._keys, self._first_id
        if len(self._endpoints) == 1:
            host, port, port_out = self._endpoints[0]
            connection = Connection(host, port, port_out, *about)
        else:
            connection = MultiServer(self._endpoints, *about)
        weakref.finalize(self, connection.stop)  # for those who never close
        if self._expect_fingerprint is not None:
            connection.expect(self._expect_fingerprint)
        self._connection = connection
        return connection

    def _connected(self) -> Connection | MultiServer:
        if self._connection is None:
            raise ClientClosed("the client is not connected yet: use `async with`, or `await connect()`")
        return self._connection

    def _accept(self, config: dict[str, Any]) -> None:
        """Judge a ready server by its config."""
        if self._check_version and "protocol" not in config:
            version = str(config.get("server_version"))
            if not version.startswith(_LEGACY_SERIES):
                raise VersionMismatch(
                    f"the server has version {version}; this client, version {VERSION}, needs a server of "
                    f"version 2.0 or later, or {_LEGACY_SERIES}x: update the server, or try check_version=False"
                )
        if strange := mismatch(self._expect_fingerprint, fingerprint_in(config)):
            raise strange
        self._config = config
        self._takes_options = "protocol" in config
        self._is_legacy_server = not self._takes_options
        self._max_seq_len = config.get("max_seq_len")
        if isinstance(limit_mb := config.get("max_msg_size"), int):
            self._connected().max_bytes = limit_mb << 20
        if self._show_server_config:
            print("server config:")
            print("\n".join(f"{key:>30}\t=\t{value!s:<30}" for key, value in config.items()))

    # -- a request and its reply --

    @property
    def expect_fingerprint(self) -> str | None:
        """Fingerprint of the only model whose vectors are accepted; None for any. Takes effect with the next answer."""
        return self._expect_fingerprint

    @expect_fingerprint.setter
    def expect_fingerprint(self, fingerprint: str | None) -> None:
        self._expect_fingerprint = _checked_fingerprint(fingerprint)
        self._connected().expect(self._expect_fingerprint)

    @property
    def _timeout_s(self) -> float | None:
        return self.timeout / 1000 if self.timeout >= 0 else None

    def _timed_out(self, timeout_s: float | None) -> RequestTimeout:
        where, timeout_ms = self.where, 1000 * (timeout_s or 0.0)
        return RequestTimeout(
            f"no answer from {where} within timeout={timeout_ms:.0f} ms: the server may be busy or gone, or the "
            "timeout too short for so many texts. Try a longer timeout or shorter lists; server_status shows how busy "
            "the server is"
        )

    def _ask_rows(self, texts: Any, is_tokenized: bool, options: Options = NO_OPTIONS) -> Asked:
        checked = check_texts(texts, is_tokenized, is_pair=bool(options.is_pair))
        if self._check_length and self._is_legacy_server and self._max_seq_len:
            self._warn_truncated(guess_truncated(checked, self._max_seq_len), len(checked))
        return self._connected().request_rows(checked, self._understood(options))

    def _understood(self, options: Options) -> Options:
        """The options that this server understands. InvalidInputValue if one that changes the answer is not known."""
        if self._takes_options:
            return options
        if names := ", ".join(name for name in options.given() if name != "timeout_ms"):
            raise InvalidInputValue(
                f"{names}: the server has not said that it supports request options; 1.10 servers do not"
            )
        return NO_OPTIONS

    def _response(self, reply: RowsReply, options: Options) -> Response:
        """What users get for a reply."""
        self._warn_truncated(reply.truncated, len(reply.array))
        return Response(reply.request_id, self._embedding(reply, options), reply.tokens)

    def _embedding(self, reply: RowsReply, options: Options) -> Any:
        """One array, or a list with one for each view that was asked for."""
        arrays = [reply.array]
        if options.as_list:
            widths = np.cumsum(reply.views or reply.array.shape[-1:])
            arrays = [np.ascontiguousarray(one) for one in np.split(reply.array, widths[:-1], axis=-1)]
        shown = [one.tolist() for one in arrays] if self.output_fmt == "list" else arrays
        return shown if options.as_list else shown[0]

    def _encoded(self, start: int, count: int, reply: RowsReply, options: Options, has_warned: bool) -> Encoded:
        """What users get for a batch of a stream; only the first texts that are cut cause a warning."""
        if not has_warned:
            self._warn_truncated(reply.truncated, count)
        return Encoded(start, count, self._embedding(reply, options), None, reply.truncated)

    def _window(self, max_in_flight: int | None) -> int:
        """How many batches of a stream may be in progress."""
        return STREAM_WINDOW * len(self._endpoints) if max_in_flight is None else max_in_flight

    def _select(self, reply: RowsReply, options: Options, show_tokens: bool) -> Any:
        """What `encode` returns for a reply."""
        response = self._response(reply, options)
        if options.offsets:
            return WithOffsets(response.embedding, reply.tokens, reply.offsets, reply.chunks)
        if show_tokens and response.tokens is not None:
            return response.embedding, response.tokens
        if show_tokens:
            _warn("show_tokens=True, but the server sends no tokens: start it with -show_tokens_to_client", UserWarning)
        return response.embedding

    def _warn_truncated(self, truncated: list[int], num_texts: int) -> None:
        """Unless `check_length` is off."""
        if truncated and self._check_length:
            _warn(truncation_text(truncated, num_texts, self._max_seq_len), TruncationWarning)

    def _pending_ids(self) -> set[int]:
        return self._connection.pending.ids() if self._connection else set()

    @property
    def status(self) -> dict[str, Any]:
        """This client's settings and pending requests; does not ask the server."""
        pending = sorted(self._pending_ids())
        return {
            "identity": self.identity,
            "num_request": self._connection.pending.num_asked if self._connection else 0,
            "num_pending_request": len(pending),
            "pending_request": pending,
            "output_fmt": self.output_fmt,
            "port": self.port,
            "port_out": self.port_out,
            "server_ip": self.ip,
            "endpoints": [str(endpoint) for endpoint in self._endpoints],
            "client_version": VERSION,
            "timeout": self.timeout,
        }


def without_offsets(options: Options, what: str) -> Options:
    """Raises InvalidInputValue if they are asked for where the result has no place for them."""
    if options.offsets:
        raise InvalidInputValue(f"offsets come only from a blocking encode(), not with {what}")
    return options


def made_anew(kind: Callable[..., _T], arguments: Mapping[str, Any]) -> _T:
    """Makes the client that a copied or pickled one becomes; it may connect here."""
    return kind(**arguments)


def _checked_identity(identity: str | bytes | None) -> bytes:
    if identity is None:
        return str(uuid.uuid4()).encode()
    encoded = identity.encode() if isinstance(identity, str) else identity
    if not isinstance(encoded, bytes):
        raise TypeError(f"identity must be str or bytes, not {type(identity).__name__}")
    if not encoded or b"\0" in encoded:
        raise ValueError(f"identity must not be empty or contain a zero byte, but is {encoded[:100]!r}")
    if len(encoded) > MAX_IDENTITY_BYTES:
        raise ValueError(f"identity may have at most {MAX_IDENTITY_BYTES} bytes, but has {len(encoded)}")
    return encoded


def _checked_fingerprint(fingerprint: Any) -> str | None:
    if fingerprint is not None and not (isinstance(fingerprint, str) and fingerprint):
        raise ValueError(f"expect_fingerprint must be a str that is not empty, or None, not {fingerprint!r}")
    return fingerprint


def _checked_timeout(name: str, timeout_ms: Any) -> int:
    if isinstance(timeout_ms, bool) or not isinstance(timeout_ms, (int, float)):
        raise TypeError(f"{name} must be a number of milliseconds, not {type(timeout_ms).__name__}")
    return int(timeout_ms)


def _warn(text: str, category: type[Warning]) -> None:
    """Warn about the line that called this package, however deep inside it this is."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE_DIR):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, category, stacklevel=depth)
