"""A Ray cluster of three machines that share no network: raylets in network namespaces, joined by a bridge.

    sudo python tests/slow/ray_cluster/namespaces.py

The head's namespace has the server and the client; the other two have room for a worker each, and nothing where the
model is. Golden vectors must come, of workers on both. Needs root and Linux's `ip`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
NAMES = [f"bert-ray-{os.getpid()}-{number}" for number in range(3)]
ADDRESSES = ["10.213.8.1", "10.213.8.2", "10.213.8.3"]
CLUSTER = f"{ADDRESSES[0]}:6379"

PYTHON = sys.executable
RAY = f"exec {PYTHON} -m ray.scripts.scripts start --block --disable-usage-stats --object-store-memory {200 << 20}"
HEAD = f"{RAY} --head --node-ip-address {ADDRESSES[0]} --port 6379 --num-cpus 0 --include-dashboard false"
OTHER = f"mount -t tmpfs none {GOLDEN} && {RAY} --address {CLUSTER} --num-cpus 1"
SERVER = (
    f"exec {PYTHON} -m bert_serving.server.cli.start -model_dir {GOLDEN}/tiny_bert -cpu -launcher ray -num_worker 2 "
    f"-ray_address {CLUSTER} -host {ADDRESSES[0]}"
)
CLIENT = f"""
import json, numpy
from bert_serving.client import BertClient
texts = json.load(open("{GOLDEN}/cases.json"))["texts"]["plain"]
expected = numpy.load("{GOLDEN}/vectors.npz")["case_00"]
with BertClient(ip="{ADDRESSES[0]}", check_length=False) as client:
    for _ in range(50):
        numpy.testing.assert_allclose(client.encode(texts), expected, atol=1e-5, rtol=0)
    status = client.server_status
places = " and ".join(sorted(one["device"] for one in status["processes"] if one["name"].startswith("worker-")))
assert places.count("{ADDRESSES[1]}") == places.count("{ADDRESSES[2]}") == 1, places
assert all(one["batch_rows"] for one in status["workers"])
print("good  golden vectors of", places)
"""


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


@contextmanager
def network() -> Iterator[None]:
    """The namespaces, each with its address; whatever still runs in them at the end is killed."""
    try:
        for name in NAMES:
            ip(f"netns add {name}")
            ip(f"-n {name} link set lo up")
        ip(f"-n {NAMES[0]} link add bridge type bridge")
        ip(f"-n {NAMES[0]} addr add {ADDRESSES[0]}/24 dev bridge")
        ip(f"-n {NAMES[0]} link set bridge up")
        for number in (1, 2):
            ip(f"link add port{number} netns {NAMES[0]} type veth peer name out netns {NAMES[number]}")
            ip(f"-n {NAMES[0]} link set port{number} master bridge up")
            ip(f"-n {NAMES[number]} addr add {ADDRESSES[number]}/24 dev out")
            ip(f"-n {NAMES[number]} link set out up")
        yield
    finally:
        for name in NAMES:
            left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
            for pid in left.stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], check=False)


def inside(number: int, command: str) -> subprocess.Popen[str]:
    """Start a shell's command in a namespace, where mounts are of no effect outside."""
    whole = ["ip", "netns", "exec", NAMES[number], "sh", "-c", command]
    return subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    log = ""
    for line in process.stdout:
        if text in line:
            return
        log += line
    raise AssertionError(f"it ended before it said {text!r}: {log}")


def main() -> None:
    # the path of its sockets must be short, and none of another cluster of this machine
    with tempfile.TemporaryDirectory(prefix="bert-ray-", ignore_cleanup_errors=True) as folder, network():
        for number, command in enumerate((f"{HEAD} --temp-dir {folder}", OTHER, OTHER)):
            wait_for(inside(number, command), "Ray runtime started")
        server = inside(0, SERVER)
        wait_for(server, "all set, ready to serve request!")
        subprocess.run(["ip", "netns", "exec", NAMES[0], PYTHON, "-c", CLIENT], check=True)
        server.terminate()
        wait_for(server, "stopping")
        assert server.wait(60) == 0, f"exit status {server.returncode}"


if __name__ == "__main__":
    main()
