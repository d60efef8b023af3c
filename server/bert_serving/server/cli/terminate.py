"""`bert-serving-terminate`: stops a running server."""

from __future__ import annotations

import sys

from bert_serving.server.errors import BertServerError
from bert_serving.server.options import get_shutdown_parser
from bert_serving.server.service.server import BertServer
from bert_serving.server.streams import settle_streams


def main() -> None:
    """Exit status 0 when the server took the message, 1 if none did."""
    settle_streams()
    parser = get_shutdown_parser()
    args = parser.parse_args()
    try:
        BertServer.shutdown(args)
    except (BertServerError, ValueError) as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        sys.exit(1)
    print(f"shutdown signal sent to {args.ip}:{args.port}")


if __name__ == "__main__":
    main()
