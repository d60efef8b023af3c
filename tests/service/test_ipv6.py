"""Servers at addresses of IPv6, and all that speaks to them: clients, commands, the gateway, the health check."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import zmq
from benchmark_command import BARE, NOTHING_VARIED, benchmark, with_texts
from docker_files import DOCKER
from encode_command import Encode
from fake_engine import vector_of
from gateway_support import wait_until_ready
from ports import free_ports
from serving import Serve, fake_config, ports_of
from zmtp import greeting

from bert_serving.client import BertClient, ConnectFailed
from bert_serving.server import BertServer, StartError
from bert_serving.server.transport.connection_table import Bounds
from bert_serving.server.transport.connections import Connections

HERE = "::1"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind((HERE, 0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture(scope="module")
def server() -> Iterator[BertServer]:
    """At ::1 alone, with HTTP."""
    (port,) = free_ports(1)
    with BertServer(fake_config(host=HERE, http_host=f"[{HERE}]", http_port=port)) as started:
        yield started


def _where(server: BertServer, host: str = HERE) -> str:
    return f"[{host}]:{server.config.port}:{server.config.port_out}"


@pytest.mark.parametrize("ip", [HERE, f"[{HERE}]", "0:0:0:0:0:0:0:1"])
def test_a_client_of_one_server(server: BertServer, ip: str) -> None:
    with BertClient(ip, **ports_of(server)) as client:
        np.testing.assert_array_equal(client.encode(["a"]), [vector_of("a")])


def test_a_client_of_several_servers(server: BertServer) -> None:
    with BertClient([_where(server), "127.0.0.1:1:2"], connect_timeout=20_000) as client:
        np.testing.assert_array_equal(client.encode(["a"]), [vector_of("a")])
        assert client.status["endpoints"] == [_where(server), "127.0.0.1:1:2"]


def test_nothing_listens_by_ipv4(server: BertServer) -> None:
    with pytest.raises(ConnectFailed, match=rf"nothing listens on 127\.0\.0\.1:{server.config.port} \(port\)"):
        BertClient("127.0.0.1", **ports_of(server), connect_timeout=1000)


def test_where_nothing_listens_is_told_with_brackets() -> None:
    port, port_out = free_ports(2)
    with pytest.raises(ConnectFailed, match=rf"nothing listens on \[::1\]:{port} \(port\)"):
        BertClient(HERE, port, port_out, connect_timeout=500)


@pytest.mark.parametrize("host", [HERE, "127.0.0.1", "localhost"])
def test_both_kinds_of_addresses_reach_a_server_at_two_colons(dual: BertServer, host: str) -> None:
    with BertClient(host, **ports_of(dual)) as client:
        np.testing.assert_array_equal(client.encode(["a"]), [vector_of("a")])
    shown = f"[{host}]" if ":" in host else host
    assert httpx.get(f"http://{shown}:{dual.config.http_port}/health/live", trust_env=False).status_code == 200


@pytest.fixture(scope="module")
def dual() -> Iterator[BertServer]:
    (port,) = free_ports(1)
    with BertServer(fake_config(host="::", http_host="::", http_port=port)) as started:
        with httpx.Client(base_url=f"http://[::1]:{port}") as http:
            wait_until_ready(http)
        yield started


def test_the_gateway_finds_the_server_and_the_health_check_the_gateway(server: BertServer) -> None:
    port = server.config.http_port
    with httpx.Client(base_url=f"http://[{HERE}]:{port}", trust_env=False) as http:
        wait_until_ready(http)
        assert http.post("/encode", json={"id": 1, "texts": ["a"]}).status_code == 200
    # a proxy where nothing listens: whoever goes through it fails
    proxies = {"http_proxy": "http://127.0.0.1:9", "all_proxy": "http://127.0.0.1:9"}
    about = {"BERT_SERVING_HTTP_HOST": HERE, "BERT_SERVING_HTTP_PORT": str(port)}
    done = subprocess.run(
        [sys.executable, DOCKER / "healthcheck.py"], env={**os.environ, **proxies, **about}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_commands(server: BertServer, tmp_path: Path) -> None:
    encode = Encode(tmp_path)
    ports = ("-port", str(server.config.port), "-port_out", str(server.config.port_out))
    assert encode("in.txt", "one.npy", "-ip", HERE, *ports).returncode == 0
    assert encode("in.txt", "two.npy", "-endpoints", _where(server)).returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), np.load(tmp_path / "two.npy"))
    options = ["-test_client_batch_size", "4", *NOTHING_VARIED, "-interactive_rate", "0"]
    done = benchmark(with_texts(tmp_path), "-target", _where(server), *options, how=BARE)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("host", [HERE, "::"])
def test_it_can_be_stopped(serve: Serve, host: str) -> None:
    server = serve(host=host)
    BertServer.shutdown(ip=HERE, port=server.config.port)
    server.join(60)
    assert not server.is_alive()


def test_a_taken_port_and_a_host_that_is_none_are_named(server: BertServer) -> None:
    config = fake_config(host=HERE, port=server.config.port)
    with pytest.raises(StartError, match=rf"port {server.config.port} \(-port\) is in use"), BertServer(config):
        pass
    with pytest.raises(StartError, match=r"'::g' \(-host\) is not known"), BertServer(fake_config(host="::g")):
        pass


def test_a_name_that_stands_for_ipv6_alone(server: BertServer, tmp_path: Path) -> None:
    """`localhost` means ::1 here, in a world of its own."""
    (tmp_path / "hosts").write_text("::1 localhost\n")
    program = (
        f"from bert_serving.client import BertClient; from bert_serving.server import BertServer\n"
        f"print(BertClient(port={server.config.port}, port_out={server.config.port_out}).encode(['a']).shape)\n"
    )
    world = ["unshare", "-rm", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(tmp_path / "hosts")]
    if subprocess.run([*world, "true"], capture_output=True).returncode:
        pytest.skip("this user cannot have an /etc/hosts of its own")
    done = subprocess.run([*world, sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("(1, 8)\n", 0), done.stderr


@pytest.mark.parametrize("address", ["::1", "127.0.0.1"])
def test_connections_are_counted_and_ended_by_themselves(address: str) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as sock:
        sock.ipv6 = True
        port = sock.bind_to_random_port("tcp://[::]")
        with Connections(context, sock, Bounds(16, 1 << 20, 1 << 21), None) as connections:
            with socket.create_connection((address, port)) as greedy:
                greedy.sendall(greeting())
                table: Any = connections._table
                _turn_until(connections, lambda: any(one.received for one in table))
                (one,) = table
                assert one.address.endswith(address)
                connections.hang_up(one)
                greedy.settimeout(30)
                with pytest.raises(ConnectionResetError):
                    _read_on(greedy)
            _turn_until(connections, lambda: len(connections) == 0)


def _read_on(sock: socket.socket) -> None:
    while sock.recv(1024):
        pass


def _turn_until(connections: Connections, is_so: Any) -> None:
    end_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end_s
        connections.turn(time.monotonic())
        time.sleep(0.005)
