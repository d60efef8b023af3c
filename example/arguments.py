"""The command line that the examples share: where the server is."""

from __future__ import annotations

import argparse
from typing import Any


def get_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with `-ip`, `-port` and `-port_out`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("-ip", "--ip", default="localhost", help="where the server runs (default: localhost)")
    parser.add_argument("-port", "--port", type=int, default=5555, help="where it takes texts (default: 5555)")
    parser.add_argument(
        "-port_out", "--port_out", type=int, default=5556, help="where it sends vectors (default: 5556)"
    )
    return parser


def server_of(args: argparse.Namespace) -> dict[str, Any]:
    """These arguments as `BertClient` takes them."""
    return {"ip": args.ip, "port": args.port, "port_out": args.port_out}
