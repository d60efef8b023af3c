"""For programs that start the server as with 1.10: `from bert_serving.server.helper import get_args_parser`."""

from bert_serving.server.options import get_args_parser, get_shutdown_parser

__all__ = ["get_args_parser", "get_shutdown_parser"]
