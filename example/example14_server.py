"""A server from Python: the program starts its own, on free ports, and stops it at the end.

    python example/example14_server.py -model_dir /models/all-MiniLM-L6-v2

Nothing else has to run. test_example14.py shows how tests share such a server.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bert_serving.client import BertClient
from bert_serving.server import BertServer
from bert_serving.server.helper import get_args_parser


def free_ports() -> list[int]:
    """Two ports that nobody listens on."""
    with ExitStack() as opened:
        return [opened.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2)]


@contextmanager
def running_server(model_dir: str) -> Iterator[BertClient]:
    """A client of a server that only this machine can reach. The server stops at the end of the block."""
    port, port_out = map(str, free_ports())
    options = ["-model_dir", model_dir, "-host", "127.0.0.1", "-port", port, "-port_out", port_out, "-cpu"]
    with BertServer(get_args_parser().parse_args(options)) as server:  # ready inside the block, gone after it
        print(f"ready on ports {server.config.port} and {server.config.port_out}")
        with BertClient(port=server.config.port, port_out=server.config.port_out) as bc:
            yield bc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-model_dir", "--model_dir", required=True, help="folder of a BERT model")
    with running_server(parser.parse_args().model_dir) as bc:
        print(bc.encode(["First do it", "then do it right", "then do it better"]).shape)
    print("stopped")


if __name__ == "__main__":
    main()
