"""Command-line arguments to configuration: the parsers of all commands, made from the table in `config.py`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, NoReturn

from bert_serving.server.config import ServerConfig
from bert_serving.server.version import __version__

_UNSET = object()


ENVIRONMENT_PREFIX = "BERT_SERVING_"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, and remembers which options were given (`args.given`).

    `options_from_environment` are the names of options that a variable may give too: BERT_SERVING_NUM_WORKER is as good
    as -num_worker, which wins where both are given.
    """

    options_from_environment: frozenset[str] = frozenset()

    def _from_environment(self) -> list[str]:
        arguments: list[str] = []
        for action in self._actions:
            variable = ENVIRONMENT_PREFIX + action.dest.upper()
            text = os.environ.get(variable)
            if text is None or action.dest not in self.options_from_environment:
                continue
            if action.nargs == 0:
                if text.lower() not in (*_TRUE, *_FALSE):
                    self.error(f"{variable} must be 1 or 0, not {text!r}")
                arguments += action.option_strings[:1] if text.lower() in _TRUE else []
            elif action.nargs is None:
                arguments.append(f"{action.option_strings[0]}={text}")
            else:
                arguments += [action.option_strings[0], *text.split()]
        return arguments

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: error: {message}\n")
        sys.exit(2)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        namespace = namespace or argparse.Namespace()
        dests = [a.dest for a in self._actions if a.default is not argparse.SUPPRESS and not hasattr(namespace, a.dest)]
        for dest in dests:
            setattr(namespace, dest, _UNSET)  # argparse leaves alone what is set: what stays was not given
        given = sys.argv[1:] if args is None else args
        _, rest = super().parse_known_args([*self._from_environment(), *given], namespace)
        namespace.given = {dest for dest in dests if getattr(namespace, dest) is not _UNSET}
        for dest in set(dests) - namespace.given:
            setattr(namespace, dest, self.get_default(dest))
        return namespace, rest


def get_args_parser() -> argparse.ArgumentParser:
    """The parser of `bert-serving-start`; its result is what `BertServer` takes."""
    parser = OneLineParser(
        prog="bert-serving-start",
        description="Start a BERT sentence-encoding service.",
        epilog="example: bert-serving-start -model_dir /models/uncased_L-12_H-768_A-12 -num_worker 2. Each option can "
        "also be an environment variable: BERT_SERVING_NUM_WORKER=2",
    )
    groups: dict[str, Any] = {}
    for option in fields(ServerConfig):
        if option.metadata:
            title = option.metadata["group"]
            group = groups.get(title) or groups.setdefault(title, parser.add_argument_group(title))
            _add(group, option)
    parser.options_from_environment = frozenset(option.name for option in fields(ServerConfig) if option.metadata)
    parser.add_argument(
        "-dry_run", "--dry_run", action="store_true", help="check model, ports and devices, say what would run, and end"
    )
    parser.add_argument("-version", "--version", action="version", version=__version__)
    return parser


def get_shutdown_parser() -> argparse.ArgumentParser:
    """The parser of `bert-serving-terminate`; its result is what `BertServer.shutdown` takes."""
    parser = OneLineParser(
        prog="bert-serving-terminate",
        description="Stop a running bert-serving server.",
        epilog="example: bert-serving-terminate -port 5555",
    )
    port = next(option for option in fields(ServerConfig) if option.name == "port")
    flags = _flags("port", *port.metadata["aliases"])
    parser.add_argument("-ip", "--ip", default="localhost", help="address of the server (default: localhost)")
    parser.add_argument(*flags, dest="port", required=True, type=_typed(port.metadata["read"]), help="its request port")
    parser.add_argument("-timeout", "--timeout", type=int, default=5000, help="milliseconds to try for (default: 5000)")
    parser.add_argument("-curve", "--curve", metavar="FOLDER", help="keys for a server with -curve_dir")
    return parser


def argument_table(config: ServerConfig) -> str:
    """The resolved arguments, one a line."""
    rows = "\n".join(f"{name:>24} = {value}" for name, value in sorted(_shown(config.without_secrets()).items()))
    return f"{'ARG':>24}   VALUE\n{'_' * 60}\n{rows}\n"


def _shown(config: ServerConfig) -> dict[str, Any]:
    values = {option.name: getattr(config, option.name) for option in fields(config) if option.metadata}
    return {
        name: getattr(value, "name", list(value) if isinstance(value, tuple) else value)
        for name, value in values.items()
    }


def _add(group: Any, option: Field[Any]) -> None:
    about = option.metadata
    flags = _flags(option.name, *about["aliases"])
    if option.default is False:
        group.add_argument(*flags, dest=option.name, action="store_true", default=False, help=about["help"])
        return
    required = option.name == "model_dir"
    group.add_argument(
        *flags,
        dest=option.name,
        type=_typed(about["read"]),
        nargs=("+" if about["least"] else "*") if about["several"] else None,
        default=None if required or option.default is MISSING else option.default,
        required=required,
        metavar=about["metavar"],
        help=about["help"] + ("" if required or option.default in (None, ()) else f" (default: {_default(option)})"),
    )


def _flags(*names: str) -> list[str]:
    return [dash + name for name in names for dash in ("-", "--")]


def _default(option: Field[Any]) -> str:
    if isinstance(option.default, tuple):
        return " ".join(map(str, option.default))
    return str(getattr(option.default, "name", option.default)).replace("%", "%%")


def _typed(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """For argparse, which shows the text of this error alone."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert
