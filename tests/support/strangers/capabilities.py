"""Whether what the service shows can be used against others: names of clients, addresses of its own processes."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

from zmtp import HERE, Wire, cancellation, greeting, message, ready, subscription, wire

from bert_serving.client.wire import Command, encode_command, encode_request
from strangers.attack import IDENTITY, Attack, Catalogue, Target, Turns

ROUTES = ("/status/client", "/status/server", "/metrics", "/health/ready", "/v1/models", "/openapi.json")
LIKE_A_NAME = re.compile(rb"[0-9a-zA-Z_:.-]{4,}")
_catalogue = Catalogue()
ATTACKS: dict[str, Attack] = _catalogue.attacks


def shown(target: Target) -> set[bytes]:
    """Every word that a route or a command shows to a stranger, but for its own name."""
    pages = [_page(target, route) for route in ROUTES] + [_first_event(target)]
    with suppress(OSError), wire(target.port_out, b"SUB", 5.0) as results, wire(target.port, b"PUSH") as requests:
        results.send(subscription(IDENTITY))
        for number, what in enumerate((Command.SHOW_CONFIG, Command.SHOW_STATUS)):
            requests.send(message(encode_command(IDENTITY, number, what)))
            pages.append(results.read_message()[1])
    words = {word for page in pages for text in _texts(page) for word in (text, *LIKE_A_NAME.findall(text))}
    return words - {IDENTITY, b""}


def _page(target: Target, route: str) -> bytes:
    connection = http.client.HTTPConnection(HERE, target.http_port, timeout=5)
    try:
        connection.request("GET", route)
        return connection.getresponse().read()
    except OSError:
        return b""
    finally:
        connection.close()


def _first_event(target: Target) -> bytes:
    with suppress(OSError), Wire(target.http_port, 1.0) as browser:
        browser.send(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.3)
        return browser.socket.recv(1 << 20)
    return b""


def _texts(page: bytes) -> Iterator[bytes]:
    """All strings in JSON, or the page itself if it is none."""

    def within(content: Any) -> Iterator[bytes]:
        if isinstance(content, str):
            yield content.encode(errors="replace")
        elif isinstance(content, dict):
            for name, value in content.items():
                yield from within(name)
                yield from within(value)
        elif isinstance(content, list):
            for value in content:
                yield from within(value)

    try:
        yield from within(json.loads(page))
    except ValueError:
        yield page


@_catalogue.of(row=4, over_http=True)
def subscriptions_to_all_that_is_shown(target: Target, turns: Turns) -> list[str]:
    """While others ask: nothing of theirs may be heard."""
    topics = sorted(word for word in shown(target) if len(word) < 1_000)
    with wire(target.port_out, b"SUB", 0.5) as results:
        for topic in topics:
            results.send(subscription(topic))
        for _ in turns:
            with suppress(TimeoutError):
                return [f"it heard what was meant for {results.read_message()[0]!r}"]
    return []


@_catalogue.of(row=4, over_http=True)
def answers_forged(target: Target, turns: Turns) -> list[str]:
    """Requests in the name of each word shown, with ids that are guessed: users must not get those rows."""
    names = sorted(word for word in shown(target) if len(word) < 100 and b"\0" not in word)
    with suppress(OSError), wire(target.port, b"PUSH") as requests:
        for turn in turns:
            for name in names:
                forged = [message(encode_request(name, turn * 10 + ahead, ["forged"])) for ahead in range(10)]
                requests.send(b"".join(forged))
    return []


@_catalogue.of(row=4, over_http=True)
def unsubscriptions_of_all_that_is_shown(target: Target, turns: Turns) -> list[str]:
    """Users of HTTP must go on getting their answers."""
    topics = b"".join(map(cancellation, sorted(word for word in shown(target) if len(word) < 1_000)))
    for _ in turns:
        with suppress(OSError), wire(target.port_out, b"SUB") as results:
            results.send(topics)
            time.sleep(0.1)
    return []


@_catalogue.of(row=9, long_socket_folder=True)
def child_by_name(target: Target, turns: Turns) -> list[str]:
    """Where ipc is refused: another user of this machine connects to every inner port as worker-0 and as the sink."""
    won: list[str] = []
    for turn in turns:
        for port in target.inner_ports:
            with ExitStack() as opened, suppress(OSError):
                child = opened.enter_context(Wire(port, 0.3))
                child.send(greeting() + ready(b"DEALER", Identity=(b"worker-0", b"worker-1", b"sink")[turn % 3]))
                child.send(message([b"nonsense"]) + message([b'{"kind":"Hello"}', b"\xff"]) + message([b""]))
                child.socket.settimeout(0.5)
                child.socket.recv(64)  # its greeting
                child.read_frame()  # its READY: with keys none comes
                won.append(f"port {port} sent {child.read_message()[0][:60]!r}")
        if won:
            break
    turns.hold()
    return won[:3]
