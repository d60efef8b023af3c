"""The ventilator dies or hangs: its successor takes over the sockets, and who waited is told to ask again."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fake_engine import vector_of
from raw_client import RawClient
from serving import Connect, Serve, open_requests, pids, processes, wait_until

from bert_serving.client.errors import ServerRestarted
from bert_serving.client.wire import Command, ErrorReply, JsonReply, RowsReply, encode_command, encode_request
from bert_serving.server import BertServer

PATIENCE_S = 30.0


def end_ventilator(server: BertServer, victim: int = 0) -> None:
    """And wait until there is another."""
    before = victim or pids(server)["ventilator"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: pids(server)["ventilator"] != before)


def test_who_cannot_ask_again_is_told_and_nobody_twice(serve: Serve) -> None:
    server = serve(num_worker=1)
    with RawClient(server, b"old") as old:
        for number in (1, 2, 2):  # a request that came twice is one
            old.push.send_multipart(encode_request(b"old", number, ["!slow 1"] * 5))
        wait_until(lambda: open_requests(server) == 2)
        end_ventilator(server)
        replies = [old.receive(), old.receive()]
        assert all(isinstance(reply, ErrorReply) and isinstance(reply.error, ServerRestarted) for reply in replies)
        assert {reply.request_id for reply in replies} == {1, 2}
        reply = old.ask(*encode_request(b"old", 3, ["next"]))
        assert isinstance(reply, RowsReply)
        np.testing.assert_array_equal(reply.array, [vector_of("next")])
        assert not old.sub.poll(0)


def test_what_is_answered_is_not_answered_again(serve: Serve) -> None:
    """The successor knows nothing of what the sink did while nobody listened to it; the sink itself does."""
    server = serve(num_worker=1)
    with RawClient(server, b"old") as old:
        victim = pids(server)["ventilator"]
        old.push.send_multipart(encode_request(b"old", 1, ["!slow 0.5"]))
        wait_until(lambda: open_requests(server) == 1)
        os.kill(victim, signal.SIGSTOP)  # it hears of nothing any more
        reply = old.receive()
        assert isinstance(reply, RowsReply)
        end_ventilator(server, victim)
        assert isinstance(old.ask(*encode_command(b"old", 2, Command.SHOW_CONFIG)), JsonReply)
        assert not old.sub.poll(0)


def test_workers_keep_their_models_and_the_sink_what_it_keeps(serve: Serve) -> None:
    server = serve(num_worker=2)
    before = pids(server)
    with RawClient(server, b"not yet") as early:
        early.push.send_multipart(encode_request(b"late", 7, ["kept"]))
        wait_until(lambda: open_requests(server) == 0)
        end_ventilator(server)
        early.sub.subscribe(b"late")
        reply = early.receive()
        assert isinstance(reply, RowsReply)
        np.testing.assert_array_equal(reply.array, [vector_of("kept")])
    after = pids(server)
    assert {name for name in before if before[name] != after[name]} == {"ventilator"}


def test_connections_wait_while_it_is_started_again(serve: Serve, connect: Connect) -> None:
    server = serve()
    old = pids(server)["ventilator"]
    os.kill(old, signal.SIGKILL)
    with socket.create_connection(("127.0.0.1", server.config.port), timeout=PATIENCE_S) as sock:
        assert sock.recv(10)[:1] == b"\xff"  # the greeting of its successor
    np.testing.assert_array_equal(connect(server).encode(["a"]), [vector_of("a")])


def test_a_request_that_is_under_way_at_each_death_is_given_up_by_the_client(serve: Serve, connect: Connect) -> None:
    server = serve(num_worker=1)
    client = connect(server)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.encode, ["!slow 5"])
        deaths = 0
        while not running.done():
            wait_until(lambda: running.done() or open_requests(server) > 0)
            if not running.done():
                end_ventilator(server)
                deaths += 1
                assert deaths < 10
        with pytest.raises(ServerRestarted):
            running.result()
    np.testing.assert_array_equal(connect(server).encode(["still here"]), [vector_of("still here")])


def test_a_child_that_cannot_be_started_now_is_started_later(serve: Serve, connect: Connect) -> None:
    server = serve(num_worker=2)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    victim = pids(server)["worker-0"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), limit[1]))  # none is left
    try:
        os.kill(victim, signal.SIGKILL)
        time.sleep(1.5)  # the first tries fail
        assert server.is_alive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    wait_until(lambda: [one["state"] for one in processes(server)].count("ready") == 4)
    assert pids(server)["worker-0"] != victim
    np.testing.assert_array_equal(connect(server).encode(["a"]), [vector_of("a")])
