"""What strangers do to the gateway: bodies, headers and connections that it must not wait for or keep."""

from __future__ import annotations

import gzip
import json
import socket
import time
from contextlib import ExitStack, suppress

from zmtp import HERE

from strangers.attack import Attack, Catalogue, Target, Turns

MIB = 1 << 20
_catalogue = Catalogue()
ATTACKS: dict[str, Attack] = _catalogue.attacks


def head(length: int | None, *more: str, path: str = "/encode") -> bytes:
    """Of a POST with a body of `length` bytes; None: in chunks without a length."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", size, *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def opened_to(target: Target, timeout_s: float = 0.5) -> socket.socket:
    return socket.create_connection((HERE, target.http_port), timeout_s)


def open_many(target: Target, turns: Turns, number: int, opened: ExitStack) -> list[socket.socket]:
    """As many connections, or fewer if the gateway takes no more."""
    found: list[socket.socket] = []
    for turn in turns:
        if turn >= number:
            break
        with suppress(OSError):
            found.append(opened.enter_context(opened_to(target)))
    return found


def send_to_all(connections: list[socket.socket], content: bytes) -> None:
    for connection in connections:
        with suppress(OSError):
            connection.sendall(content)


@_catalogue.of(row=12, over_http=True, message_mb=16)
def bodies_150_of_16_mb(target: Target, turns: Turns) -> list[str]:
    """Each all but its last byte, which never comes."""
    size = 16 * MIB
    with ExitStack() as opened:
        connections = open_many(target, turns, 150, opened)
        send_to_all(connections, head(size))
        for turn in turns:
            if turn >= 15:
                break
            send_to_all(connections, b" " * MIB)
        turns.hold()
    return []


@_catalogue.of(over_http=True, message_mb=16)
def bodies_without_length(target: Target, turns: Turns) -> list[str]:
    """Chunks without end on 100 connections."""
    with ExitStack() as opened:
        connections = open_many(target, turns, 100, opened)
        send_to_all(connections, head(None))
        for turn in turns:
            if turn >= 1_500:
                break
            send_to_all(connections, b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    return []


@_catalogue.of(over_http=True)
def bodies_byte_by_byte(target: Target, turns: Turns) -> list[str]:
    with ExitStack() as opened:
        connections = open_many(target, turns, 300, opened)
        send_to_all(connections, head(1_000))
        for _ in turns:
            send_to_all(connections, b" ")
            time.sleep(0.1)
    return []


@_catalogue.of(over_http=True)
def headers_that_never_end(target: Target, turns: Turns) -> list[str]:
    """500 connections, a header line now and then."""
    with ExitStack() as opened:
        connections = open_many(target, turns, 500, opened)
        send_to_all(connections, b"POST /encode HTTP/1.1\r\n")
        for _ in turns:
            send_to_all(connections, b"X-More: more\r\n")
            time.sleep(0.2)
    return []


@_catalogue.of(over_http=True, message_mb=1)
def headers_of_1_mb(target: Target, turns: Turns) -> list[str]:
    """One line of a megabyte; 20,000 lines; a path of a megabyte."""
    odd = [b"GET / HTTP/1.1\r\nX: " + b"x" * MIB + b"\r\n\r\n", b"GET /" + b"p" * MIB + b" HTTP/1.1\r\n\r\n"]
    odd.append(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)) + b"\r\n")
    for turn in turns:
        with suppress(OSError), opened_to(target) as connection:
            connection.sendall(odd[turn % len(odd)])
            connection.recv(1 << 16)
    return []


@_catalogue.of(over_http=True)
def requests_in_pipelines(target: Target, turns: Turns) -> list[str]:
    """500 to a connection before the first answer is read, and none ever is."""
    body = json.dumps({"texts": ["a"]}).encode()
    with ExitStack() as opened:
        for turn in turns:
            if turn >= 100:
                break
            with suppress(OSError):
                opened.enter_context(opened_to(target)).sendall((head(len(body)) + body) * 500)
        turns.hold()
    return []


@_catalogue.of(over_http=True, options={"pooling_strategy": "NONE", "max_seq_len": 1_000})
def answers_that_nobody_reads(target: Target, turns: Turns) -> list[str]:
    """60 connections, each with an answer of some megabytes that waits for its reader."""
    body = json.dumps({"texts": ["a"] * 40}).encode()
    with ExitStack() as opened:
        for connection in open_many(target, turns, 60, opened):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            with suppress(OSError):
                connection.sendall(head(len(body)) + body)
        turns.hold()
    return []


@_catalogue.of(over_http=True, message_mb=16)
def bombs(target: Target, turns: Turns) -> list[str]:
    """Bodies of a megabyte that say they are gzip, and would be a gigabyte; and JSON of 15 MB that is all objects."""
    packed = gzip.compress(bytes(64 * MIB)) * 16
    objects = b'{"texts":[' + b"[]," * (5 * MIB) + b"[]]}"
    for _ in turns:
        for content, more in ((packed, ["Content-Encoding: gzip"]), (objects, [])):
            with suppress(OSError), opened_to(target, 5.0) as connection:
                connection.sendall(head(len(content), *more) + content)
                connection.recv(1 << 16)
    return []


@_catalogue.of(over_http=True)
def bodies_that_say_odd_things(target: Target, turns: Turns) -> list[str]:
    """Surrogates, depth, numbers of 5,000 digits, duplicate keys."""
    odd = [
        rb'{"texts":["\ud800"]}',
        rb'{"\udfff":1,"texts":["a"]}',
        b'{"texts":' + b"[" * 100_000,
        b'{"id":%s}' % (b"9" * 5_000),
    ]
    odd += [b"{" + b'"texts":["a"],' * 50_000 + b'"id":1}', rb'{"texts":["a"],"id":"\udc00"}', b'{"texts":[[1e400]]}']
    for turn in turns:
        with suppress(OSError), opened_to(target) as connection:
            body = odd[turn % len(odd)]
            connection.sendall(head(len(body), path=("/encode", "/v1/embeddings")[turn % 2]) + body)
            connection.recv(1 << 16)
    return []


@_catalogue.of(row=12, over_http=True)
def events_1000_at_once(target: Target, turns: Turns) -> list[str]:
    """Where 100 may watch."""
    with ExitStack() as opened:
        connections = open_many(target, turns, 1_000, opened)
        send_to_all(connections, b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(turns.left_s / 2)
        admitted = 0
        for connection in connections:
            connection.settimeout(0.01)
            with suppress(OSError):
                admitted += b" 200 " in connection.recv(64)
        turns.hold()
    return [f"{admitted} of 1,000 dashboards were admitted"] if admitted > 100 else []
