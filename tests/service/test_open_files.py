"""Few open files: refused at the start, or the service goes on, whoever comes."""

from __future__ import annotations

import os
import resource
import socket
from contextlib import ExitStack, suppress

import numpy as np
import pytest
from command import FakeCommand, with_open_files
from fake_engine import vector_of
from serving import ports_of

from bert_serving.client import BertClient, ConnectFailed
from bert_serving.server import BertServer


def test_too_few_for_the_service_are_named_at_the_start() -> None:
    with FakeCommand(prefix=with_open_files(64)) as server:
        assert server.wait_for_end(60) == 1
    assert "may have 64 open files, but this server needs 132: raise the limit (ulimit -n," in server.last_line
    assert "Traceback" not in server.log


def test_a_crowd_that_takes_all_of_them_keeps_nobody_out() -> None:
    with FakeCommand(prefix=with_open_files(140)) as server, ExitStack() as crowd:
        server.wait_until_ready()
        assert "140 open files, which is enough for 70 clients" in server.log
        for port in (server.port, server.port_out):
            for _ in range(300):
                sock = crowd.enter_context(socket.socket())
                sock.setblocking(False)
                with suppress(BlockingIOError):
                    sock.connect(("127.0.0.1", port))
        with BertClient(**server.ports, connect_timeout=60_000) as client:
            np.testing.assert_array_equal(client.encode(["a"]), [vector_of("a")])
        server.stop()
        assert server.wait_for_end(60) == 0


def test_a_client_that_may_open_no_more_says_so(server: BertServer) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    BertClient(**ports_of(server)).close()  # all that is imported late is imported
    spare = os.dup(0)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 1, limits[1]))
    try:
        with pytest.raises(ConnectFailed, match=r"cannot open more files.*ulimit -n"):
            BertClient(**ports_of(server))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
