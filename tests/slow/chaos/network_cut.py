"""A real cut of the network: client and server in two network namespaces, the link between them down during a call.

    sudo python tests/slow/chaos/network_cut.py --seconds 60

Needs root and Linux's `ip`. The call must return its rows after the link is up again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

SUPPORT = Path(__file__).resolve().parents[2] / "support"
NAMES = ("bert-cut-server", "bert-cut-client")
ADDRESSES = ("10.213.7.1", "10.213.7.2")
ROWS = 40

CLIENT = f"""
import numpy, sys
from bert_serving.client import BertClient
from fake_engine import vector_of
texts = [f"!slow 0.1 {{row}}" for row in range({ROWS})]
with BertClient(ip="{ADDRESSES[0]}", connect_timeout=-1) as client:
    client.encode(["before"])
    print("connected", flush=True)
    assert numpy.array_equal(client.encode(texts), [vector_of(text) for text in texts])
    print("right", flush=True)
"""


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


def set_up() -> None:
    for name in NAMES:
        ip(f"netns add {name}")
    ip(f"link add cut0 netns {NAMES[0]} type veth peer name cut1 netns {NAMES[1]}")
    for number, (name, address) in enumerate(zip(NAMES, ADDRESSES, strict=True)):
        ip(f"-n {name} addr add {address}/24 dev cut{number}")
        ip(f"-n {name} link set cut{number} up")


def inside(name: str, *command: str) -> subprocess.Popen[str]:
    """Start a command in a namespace."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        ["ip", "netns", "exec", name, *command], stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=SUPPORT
    )


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"it ended before it said {text!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Cut the network between client and server during a call.")
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    started: list[subprocess.Popen[str]] = []
    try:
        set_up()
        server = inside(NAMES[0], sys.executable, "run_fake_server.py", '{"max_batch_size": 1}')
        started.append(server)
        wait_for(server, "all set, ready to serve request!")
        client = inside(NAMES[1], sys.executable, "-c", CLIENT)
        started.append(client)
        wait_for(client, "connected")
        time.sleep(0.5)  # the call is on its way; it takes seconds
        ip(f"-n {NAMES[0]} link set cut0 down")
        time.sleep(seconds)
        ip(f"-n {NAMES[0]} link set cut0 up")
        begin_s = time.monotonic()
        wait_for(client, "right")
        print(f"good  cut of {seconds:.0f} s: the call returned its rows {time.monotonic() - begin_s:.1f} s after it")
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False)


if __name__ == "__main__":
    main()
