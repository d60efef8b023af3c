"""Copies of a client, pickled ones above all: what Spark and Ray send to other machines."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from fake_engine import vector_of
from serving import Serve, ports_of

from bert_serving.client import AsyncBertClient, BertClient, ConcurrentBertClient, ConnectFailed, ModelMismatch
from bert_serving.client.options import NO_OPTIONS
from bert_serving.server import BertServer
from bert_serving.server.transport.curve import make_keys

Copy = Callable[[Any], Any]

COPIES: dict[str, Copy] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda client: pickle.loads(pickle.dumps(client)),
    "oldest pickle": lambda client: pickle.loads(pickle.dumps(client, 0)),
    "cloudpickle": lambda client: cloudpickle.loads(cloudpickle.dumps(client)),
}


@pytest.fixture(params=COPIES)
def copied(request: pytest.FixtureRequest) -> Copy:
    return COPIES[request.param]


def test_a_copy_connects_anew_with_the_same_arguments(server: BertServer, copied: Copy) -> None:
    with BertClient(
        "127.0.0.1", **ports_of(server), output_fmt="list", identity="mine", check_length=False, timeout=50_000,
        connect_timeout=7_000,
    ) as client:  # fmt: skip
        client.timeout = 60_000
        client.encode(["not taken"], blocking=False)
        with copied(client) as other:
            own = ("identity", "num_request", "num_pending_request", "pending_request")
            was, now = ({**one.status, **dict.fromkeys(own)} for one in (client, other))
            assert now == was
            assert (other.timeout, other.connect_timeout, other._check_length) == (60_000, 7_000, False)
            assert other.encode(["a"]) == [vector_of("a").tolist()]
            assert other.fetch_all() is None
        assert client.encode(["b"]) == [vector_of("b").tolist()]


def test_a_copy_never_takes_its_originals_answers(server: BertServer, copied: Copy) -> None:
    with BertClient(**ports_of(server), identity="mine") as client, copied(client) as other:
        assert other.identity != client.identity
        for number in range(20):  # the same ids
            client.encode([f"a{number}"], blocking=False)
            other.encode([f"b{number}"], blocking=False)
        for name, one in (("a", client), ("b", other)):
            expected = np.array([vector_of(f"{name}{number}") for number in range(20)])
            np.testing.assert_array_equal(one.fetch_all(concat=True), expected)


def test_a_pool_with_an_identity_gives_each_call_its_own_answer(server: BertServer, copied: Copy) -> None:
    with ConcurrentBertClient(3, **ports_of(server), identity="ours") as client, copied(client) as other:
        assert other.max_concurrency == 3
        np.testing.assert_array_equal(other.encode(["a"]), [vector_of("a")])
        with client._borrow() as one, client._borrow() as two:
            assert one.identity != two.identity
            futures = [
                one._ask_in_time([f"!slow 0.2 {name}"], False, NO_OPTIONS) for one, name in ((one, "x"), (two, "y"))
            ]
            for future, name in zip(futures, "xy", strict=True):
                reply: Any = future.result(30)
                np.testing.assert_array_equal(reply.array, [vector_of(f"!slow 0.2 {name}")])


def test_several_servers(server: BertServer, copied: Copy) -> None:
    here = f"127.0.0.1:{server.config.port}:{server.config.port_out}"
    with BertClient([here, "127.0.0.1:1:2"]) as client, copied(client) as other:
        assert other.status["endpoints"] == [here, "127.0.0.1:1:2"]
        np.testing.assert_array_equal(other.encode(["a"]), [vector_of("a")])


def test_asyncio(server: BertServer, copied: Copy) -> None:
    async def use() -> Any:
        async with AsyncBertClient(**ports_of(server)) as client, copied(client) as other:
            return await other.encode(["a"])

    np.testing.assert_array_equal(asyncio.run(use()), [vector_of("a")])


def test_the_fingerprint_is_expected_of_another_server_too(server: BertServer, serve: Serve, copied: Copy) -> None:
    with BertClient(**ports_of(server)) as client:
        client.expect_fingerprint = client.server_config["model"]["fingerprint"]
        copied(client).close()
        client.expect_fingerprint = "another"
        with pytest.raises(ModelMismatch, match="'another' is expected"):
            copied(client)


def test_keys_stay_where_they_are(serve: Serve, tmp_path: Path) -> None:
    (alice,) = make_keys(tmp_path / "keys", ["alice"])
    server = serve(curve_dir=str(tmp_path / "keys"))
    with BertClient(**ports_of(server), curve=alice) as client:
        pickled = pickle.dumps(client)
        assert client._keys is not None
        assert client._keys.secret not in pickled
        with pickle.loads(pickled) as other:
            np.testing.assert_array_equal(other.encode(["a"]), [vector_of("a")])


def test_in_another_process(server: BertServer) -> None:
    with BertClient(**ports_of(server)) as client:
        program = "import pickle, sys; print(pickle.load(sys.stdin.buffer).encode(['a']).tolist())"
        done = subprocess.run([sys.executable, "-c", program], input=pickle.dumps(client), capture_output=True)
        assert done.stdout.decode() == f"{[vector_of('a').tolist()]}\n", done.stderr


def test_a_copy_works_where_a_fork_made_the_client_useless(server: BertServer) -> None:
    with BertClient(**ports_of(server)) as client, get_context("fork").Pool(2) as pool:
        for rows in pool.map(client.encode, [["a"]] * 4):  # which pickles the client for each of them
            np.testing.assert_array_equal(rows, [vector_of("a")])


def test_a_server_that_is_gone_is_named_where_the_copy_is_made(serve: Serve) -> None:
    server = serve()
    with BertClient(**ports_of(server), connect_timeout=500) as client:
        server.close()
        with pytest.raises(ConnectFailed, match=f"nothing listens on localhost:{server.config.port}"):
            copy.copy(client)
