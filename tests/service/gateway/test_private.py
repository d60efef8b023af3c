"""Nothing that HTTP shows lets its reader hear or act as somebody else."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import httpx
import pytest
import zmq
from gateway_support import Browse
from serving import fake_config, ports_of
from zmtp import cancellation, wire

from bert_serving.client import BertClient
from bert_serving.client.wire import Command, encode_command
from bert_serving.server import BertServer
from bert_serving.server.gateway import shown
from bert_serving.server.gateway.backend import Backend, PrivateClient
from bert_serving.server.transport.meeting import GATEWAY_CLIENT

NAMES_A_CONNECTION = 2
PATIENCE_MS = 500


def strings_in(value: Any) -> Iterator[str]:
    """Every string, key and number in JSON."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from strings_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings_in(one)
    elif value is not None:
        yield str(value)


def all_that_is_shown(http: httpx.Client) -> set[str]:
    """By every route that is read by GET, its headers, and what goes wrong on the way."""
    paths = [route for route, methods in http.get("/openapi.json").json()["paths"].items() if "get" in methods] + [
        "/",
        "/docs",
        "/openapi.json",
        "/nothing",
        "/encode",
    ]
    found: set[str] = set()
    for path in paths:
        answer = http.get(path)
        found |= set(answer.headers.values())
        try:
            found |= set(strings_in(answer.json()))
        except ValueError:
            found |= set(re.findall(r"[^\s\"'<>{}=,;]+", answer.text))
    for body in ({"texts": [" "]}, {"texts": ["!crash"]}, {"texts": [1]}, {"input": None}):
        found |= set(strings_in(http.post("/encode", json=body).json()))
    with http.stream("GET", "/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                found |= set(strings_in(json.loads(line.removeprefix("data: "))))
                break
    return found


def candidates(found: set[str]) -> list[bytes]:
    """Each of them, the words in them, and what those begin and end with that might be of a longer name."""
    words = found | {word for text in found for word in re.split(r"[^0-9A-Za-z_-]+", text)}
    likely = [word for word in words if re.fullmatch(r"[0-9a-f-]{16,80}", word)]
    cut = {part for word in likely for end in range(1, len(word)) for part in (word[:end], word[end:])}
    return sorted({name.encode(errors="replace")[:600] for name in words | cut if name})


class Ears:
    """Subscribers of all these names, some at each connection, and each of `known` as well."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], port_out: int, names: list[bytes]) -> None:
        self._subs = []
        context.max_sockets = len(names)  # before the first is opened
        for start in range(0, len(names), NAMES_A_CONNECTION):
            sub = context.socket(zmq.SUB)
            sub.linger, sub.rcvhwm = 0, 0
            sub.connect(f"tcp://127.0.0.1:{port_out}")
            for name in names[start : start + NAMES_A_CONNECTION]:
                sub.subscribe(name)
                sub.subscribe(name + b"\0")
            sub.subscribe(b"known")
            self._subs.append(sub)

    def wait_until_they_hear(self, known: BertClient) -> None:
        """So whatever they subscribed to before is in force."""
        deaf, end_s = self._subs, time.monotonic() + 60
        while deaf:
            assert time.monotonic() < end_s, f"{len(deaf)} of {len(self._subs)} hear nothing"
            known.encode(["to all who know the name"])
            time.sleep(PATIENCE_MS / 1000)
            deaf = [sub for sub in deaf if not sub.poll(0)]
        self.heard()

    def heard(self) -> list[list[bytes]]:
        time.sleep(PATIENCE_MS / 1000)
        frames = []
        for sub in self._subs:
            while sub.poll(0):
                frames.append(sub.recv_multipart())
        return frames

    def close(self) -> None:
        for sub in self._subs:
            sub.close()


def test_who_subscribes_to_all_that_is_shown_hears_nothing(browse: Browse) -> None:
    http = browse(show_tokens_to_client=True)
    http.post("/encode", json={"texts": ["before"]})
    names = candidates(all_that_is_shown(http))
    assert http.get("/status/client").json()["identity"].encode() in names
    config = http.get("/status/server").json()
    with zmq.Context() as context, closing(Ears(context, config["port_out"], names)) as ears:
        with BertClient(port=config["port"], port_out=config["port_out"], identity=b"known") as known:
            ears.wait_until_they_hear(known)
        for number in range(10):
            assert http.post("/encode", json={"texts": [f"a secret {number}"]}).status_code == 200
            assert http.get("/status/server").status_code == 200
        assert ears.heard() == []


def unsubscribe(port_out: int, names: list[bytes], source: str) -> None:
    """By hand: libzmq sends nothing of names that a socket has not subscribed to."""
    with wire(port_out, b"SUB", timeout_s=20, source=source) as stranger:
        with suppress(OSError):  # whoever sends so many is sent away
            for name in names:
                stranger.send(cancellation(name))
        stranger.is_hung_up_on(PATIENCE_MS / 1000)


def test_who_unsubscribes_all_that_is_shown_ends_nobodys_answers(browse: Browse) -> None:
    http = browse(http_timeout=5)
    names = candidates(all_that_is_shown(http))
    port_out = http.get("/status/server").json()["port_out"]
    for source in ("127.0.0.2", "127.0.0.3"):  # one address is not let in again at once
        unsubscribe(port_out, names, source)
    for _ in range(10):
        assert http.post("/encode", json={"texts": ["a"]}).status_code == 200


def test_addresses_inside_and_names_are_not_shown(http: httpx.Client) -> None:
    texts = [http.get(path).text for path in ("/status/server", "/status/client", "/metrics")]
    with http.stream("GET", "/events") as answer:
        texts.append(next(answer.iter_lines()))
    for text in texts:
        assert not re.search(r"ipc:///|ipc://@|tcp://\d|inproc://\w", text)
    server, client = (json.loads(text) for text in texts[:2])
    assert server["ventilator -> worker"] == ["ipc://(hidden)"] or server["ventilator -> worker"] == ["tcp://(hidden)"]
    for identity in (server["client"], client["identity"]):
        assert re.fullmatch(r"[0-9a-f]{16}", identity)
    assert server["client"] != client["identity"]


def test_over_zeromq_a_client_sees_what_it_saw_in_1_10(server: BertServer) -> None:
    with BertClient(**ports_of(server), identity="me") as client:
        assert client.server_config["client"] == "me"
        assert client.status["identity"] == b"me"
        assert client.status["num_request"] == 2  # the handshake and the config
        assert re.match(r"(ipc|tcp)://", client.server_config["ventilator <-> sink"])


def test_what_is_shown_of_a_status() -> None:
    status = {
        "client": "secret", "port": 5555, "ventilator -> worker": ["ipc:///tmp/a/b"], "worker -> sink": "tcp://127.0.0.1:9",
        "curve_dir": "/etc/keys", "model_dir": "/model", "processes": [{"name": "worker-0", "control": "inproc://x\ny"}],
    }  # fmt: skip
    assert shown.service_status(status) == {
        "client": shown.hashed(b"secret"), "port": 5555, "ventilator -> worker": ["ipc://(hidden)"],
        "worker -> sink": "tcp://(hidden)", "curve_dir": "(set)", "model_dir": "/model",
        "processes": [{"name": "worker-0", "control": "inproc://(hidden)"}],
    }  # fmt: skip
    assert shown.service_status({"curve_dir": None}) == {"curve_dir": None}
    assert shown.service_status({"model_dir": "/caf\udce9"}) == {"model_dir": "/caf?"}


async def test_the_gateways_clients_cannot_be_guessed() -> None:
    clients = [PrivateClient(ignore_all_checks=True) for _ in range(20)]
    assert len({client.identity for client in clients}) == len({client.first_id for client in clients}) == 20
    assert all(len(client.identity.removeprefix(GATEWAY_CLIENT)) == 64 for client in clients)
    assert sum(client.first_id > 1 << 40 for client in clients) >= 19
    assert Backend(fake_config(), None).status == {}


async def test_its_requests_begin_at_a_random_id(http: httpx.Client) -> None:
    config = http.get("/status/server").json()
    async with PrivateClient(port=config["port"], port_out=config["port_out"]) as client:
        waiting = client._connected().request_json(Command.SHOW_CONFIG)
        assert waiting.request_id == client.first_id + 1  # after the handshake's
        assert shown.client_status({**client.status, "pending_request": [waiting.request_id]}, client.first_id)[
            "pending_request"
        ] == [2]
        assert encode_command(client.identity, waiting.request_id, Command.SHOW_CONFIG) == waiting.frames


@pytest.mark.parametrize("path", ["/status/server", "/status/client"])
def test_each_start_has_other_names(http: httpx.Client, browse: Browse, path: str) -> None:
    field = "client" if path.endswith("server") else "identity"
    assert http.get(path).json()[field] != browse().get(path).json()[field]
