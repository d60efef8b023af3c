"""Clients where threads are greenlets: in programs that begin by `gevent.monkey.patch_all()` or as eventlet has it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bert_serving.server import BertServer

PATCH = {
    "gevent": "from gevent import monkey; monkey.patch_all(); from gevent import spawn, sleep",
    "eventlet": "import eventlet; eventlet.monkey_patch(); from eventlet import spawn, sleep",
}
BEGIN = """
import time
from bert_serving.client import *

ticks, began_s = [], time.monotonic()

def tick():
    while True:
        ticks.append(0)
        sleep(0.01)

spawn(tick)
"""
USES = {
    "one": """
client = BertClient(**where)
print(client.encode(["!slow 0.5 a"]).shape, len(ticks) > 10)
client.close()
""",
    "timeout": """
client = BertClient(**where, timeout=300)
try:
    client.encode(["!slow 5.0 a"])
except RequestTimeout:
    print(time.monotonic() - began_s < 4)
client.timeout = -1
print(client.encode(["a"]).shape)
""",
    "nobody listens": """
try:
    BertClient(port=1, port_out=2, connect_timeout=300)
except ConnectFailed as error:
    print(str(error)[:15])
""",
    "shared": """
client, done = BertClient(**where), []
for number in range(20):
    spawn(lambda: done.append(client.encode(["!slow 0.05 a"])))
while len(done) < 20:
    sleep(0.01)
print(len(done))
client.close()
""",
    "pool": """
client, done = ConcurrentBertClient(2, **where), []
for number in range(6):
    spawn(lambda: done.append(client.encode(["a"])))
while len(done) < 6:
    sleep(0.01)
print(len(done))
""",
    "several servers": """
client = BertClient([f"localhost:{where['port']}:{where['port_out']}", "localhost:1:2"])
print(client.encode(["!slow 0.5 a"]).shape, len(ticks) > 10)
client.close()
""",
    "streams": """
client = BertClient(**where)
print(sum(part.count for part in client.encode_stream(map(str, range(1000)), batch_size=50)))
print(len(list(client.encode_async([["a"], ["b"]]))))
""",
    "asyncio": """
import asyncio
async def main():
    async with AsyncBertClient(**where) as client:
        print(len(await asyncio.gather(*(client.encode(["!slow 0.1 a"]) for _ in range(5)))), len(ticks) > 5)
asyncio.run(main())
""",
}
SAYS = {
    "one": ["(1, 8) True"],
    "timeout": ["True", "(1, 8)"],
    "nobody listens": ["nothing listens"],
    "shared": ["20"],
    "pool": ["6"],
    "several servers": ["(1, 8) True"],
    "streams": ["1000", "2"],
    "asyncio": ["5 True"],
}


@pytest.fixture(params=PATCH)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _run(server: BertServer, *program: str) -> subprocess.CompletedProcess[str]:
    where = f"where = dict(port={server.config.port}, port_out={server.config.port_out})"
    command = [sys.executable, "-W", "ignore", "-c", "\n".join([where, *program])]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("use", USES)
def test_patched_first(server: BertServer, library: str, use: str) -> None:
    done = _run(server, PATCH[library], BEGIN, USES[use])
    assert (done.stdout.splitlines(), done.returncode) == (SAYS[use], 0), done.stderr


def test_patched_after_the_import(server: BertServer, library: str) -> None:
    done = _run(server, "import bert_serving.client", PATCH[library], BEGIN, USES["one"])
    assert (done.stdout.splitlines(), done.returncode) == (SAYS["one"], 0), done.stderr


def test_patched_when_a_client_is_made_already(server: BertServer, library: str) -> None:
    made = "from bert_serving.client import *; client = BertClient(**where)"
    done = _run(server, made, PATCH[library], "client.encode(['a'])")
    assert f"ClientClosed: this client was created before {library} patched threads: patch first" in done.stderr
    assert done.returncode != 0
