"""Command-line arguments to configuration: the parsers of all commands, made from the table in `config.py`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field
from typing import Any, NoReturn

from bert_serving.server.command_line import OneLineParser
from bert_serving.server.config import ServerConfig, http_options, server_options
from bert_serving.server.errors import ConfigError

GATEWAY_PORT = 8125

_METAVARS_BY_ENDING = {"dir": "FOLDER", "port": "PORT", "out": "PORT", "host": "ADDRESS", "name": "NAME"}
_METAVARS_BY_TYPE = {"int": "N", "float": "X", "tuple": "N"}
"""Placeholders for the values of options in the help."""


def get_args_parser() -> OneLineParser:
    """The parser of `bert-serving-start`; its result is what `BertServer` takes."""
    parser = OneLineParser(
        prog="bert-serving-start",
        usage="%(prog)s -model_dir FOLDER [options]",
        description="Start a BERT sentence-encoding service.",
        epilog="example:\n  bert-serving-start -model_dir /models/uncased_L-12_H-768_A-12 -num_worker 2\n\n"
        "Each option can also be an environment variable: BERT_SERVING_NUM_WORKER=2",
    )
    add_server_options(parser)
    parser.add_argument_group("Check").add_argument(
        "-dry_run", "--dry_run", action="store_true", help="check the model, ports and devices, show what would run, "
        "and exit",
    )  # fmt: skip
    parser.add_help_and_version()
    return parser


def add_server_options(parser: OneLineParser, *, needs_model: bool = True) -> None:
    """The options of the server, in their groups, also by variables; `needs_model`: -model_dir is required."""
    groups: dict[str, Any] = {}
    for option in server_options():
        title = option.metadata["group"]
        group = groups.get(title) or groups.setdefault(title, parser.add_argument_group(title))
        _add(group, option, is_required=needs_model and option.name == "model_dir")
    parser.options_from_environment = _option_names()
    parser.known_variables = frozenset({"models"})


class _RaisingParser(OneLineParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(self.sentence(message))


def config_of(options: Mapping[str, Any]) -> ServerConfig:
    """A config from options by name, with Python values or with what would be typed: `{"model_dir": M, "cpu": True}`.

    The environment is not asked. Raises ConfigError for a name or a value that is wrong.
    """
    parser = _RaisingParser(prog="BertServer")
    add_server_options(parser)
    parser.options_from_environment = frozenset()
    return ServerConfig.from_mapping(vars(parser.parse_args(_words(options))))


def _words(options: Mapping[str, Any]) -> list[str]:
    """The options as they would be typed; what is None or False is left out, which is the default."""
    words: list[str] = []
    for name, value in options.items():
        if value is True:
            words.append(f"-{name}")
        elif isinstance(value, (list, tuple)):
            words += [f"-{name}", *map(str, value)]
        elif value is not None and value is not False:
            words.append(f"-{name}={getattr(value, 'name', value)}")
        elif name == "max_seq_len":
            words.append("-max_seq_len=NONE")
    return words


def _option_names() -> frozenset[str]:
    return frozenset(option.name for option in server_options())


def get_shutdown_parser() -> OneLineParser:
    """The parser of `bert-serving-terminate`; its result is what `BertServer.shutdown` takes."""
    parser = OneLineParser(
        prog="bert-serving-terminate",
        usage="%(prog)s -port PORT [options]",
        description="Stop a running bert-serving server.",
        epilog="example:\n  bert-serving-terminate -port 5555",
    )
    port = next(option for option in server_options() if option.name == "port")
    flags = _flags("port", *port.metadata["aliases"])
    add = parser.add_argument_group("Server").add_argument
    add("-ip", "--ip", default="localhost", metavar="HOST", help="address of the server (default: localhost)")
    add(*flags, dest="port", required=True, metavar="PORT", type=_typed(port.metadata["read"]),
        help="port that takes requests")  # fmt: skip
    add("-timeout", "--timeout", metavar="MS", type=int, default=5000, help="milliseconds to try for (default: 5000)")
    add("-curve", "--curve", metavar="FOLDER", help="folder with keys, for a server with -curve_dir")
    parser.add_help_and_version()
    return parser


def get_gateway_parser() -> OneLineParser:
    """The parser of `bert-serving-gateway`."""
    parser = OneLineParser(
        prog="bert-serving-gateway",
        usage="%(prog)s (-model NAME=HOST:PORT:PORT_OUT ... | -models FILE) [options]",
        description="HTTP alone, for one or several running services, on this machine or others.",
        epilog="example:\n  bert-serving-gateway -model mini=localhost:5555:5556 -model rerank=gpu-2:5555:5556\n\n"
        "Each HTTP option and -models can also be an environment variable: BERT_SERVING_HTTP_PORT=8125",
    )
    group: Any = parser.add_argument_group("Services: -model or -models")
    group.add_argument(
        *_flags("model"), action="extend", nargs="+", default=argparse.SUPPRESS, metavar="NAME=HOST:PORT:PORT_OUT",
        help="a model's name and a service that has it; repeat a name to add another service for that model",
    )  # fmt: skip
    group.add_argument(
        *_flags("models"), metavar="FILE", help="TOML file with the services of each model; reread on SIGHUP"
    )
    group.add_argument(
        *_flags("curve"), metavar="FOLDER", help="folder with this gateway's keys, for services with -curve_dir"
    )
    group = parser.add_argument_group("HTTP")
    own = [option for option in server_options() if option.name in ("drain_timeout", "verbose")]
    for option in (*http_options(), *own):
        _add(group, option)
    for action in group._group_actions:
        if action.dest == "http_port":  # which a server can do without
            action.default = GATEWAY_PORT
            action.help += f" (default: {GATEWAY_PORT})"
    parser.add_help_and_version()
    names = {option.name for option in (*http_options(), *own)}
    parser.options_from_environment = frozenset({*names, "models"})
    parser.known_variables = _option_names()
    return parser


def argument_table(config: ServerConfig) -> str:
    """The resolved arguments, one a line, as 1.10 prints them."""
    rows = "\n".join(f"{name:>24} = {value}" for name, value in sorted(_shown(config.without_secrets()).items()))
    return f"{'ARG':>24}   VALUE\n{'_' * 60}\n{rows}\n"


def given_arguments(config: ServerConfig) -> str:
    """The arguments that somebody set, in one line, as they would be typed."""
    words: list[str] = []
    for name, value in _shown(config.without_secrets()).items():
        if name not in config.given or value is False:
            continue
        words.append(f"-{name}")
        if value is not True:
            words += map(str, value if isinstance(value, list) else ["NONE" if value is None else value])
    return shlex.join(words)


def _shown(config: ServerConfig) -> dict[str, Any]:
    values = {option.name: getattr(config, option.name) for option in server_options()}
    return {
        name: getattr(value, "name", list(value) if isinstance(value, tuple) else value)
        for name, value in values.items()
    }


def _add(group: Any, option: Field[Any], *, is_required: bool = False) -> None:
    about = option.metadata
    flags = _flags(option.name, *about["aliases"])
    if option.default is False:
        group.add_argument(*flags, dest=option.name, action="store_true", default=False, help=about["help"])
        return
    group.add_argument(
        *flags,
        dest=option.name,
        type=_typed(about["read"]),
        nargs=("+" if about["least"] else "*") if about["several"] else None,
        default=None if option.name == "model_dir" or option.default is MISSING else option.default,
        required=is_required,
        metavar=about["metavar"] or _metavar(option),
        help=about["help"] + ("" if option.default in (None, (), "") else f" (default: {_default(option)})"),
    )


def _metavar(option: Field[Any]) -> str:
    ending = option.name.rpartition("_")[2]
    kind = str(option.type).partition("[")[0].partition(" ")[0]
    return _METAVARS_BY_ENDING.get(ending) or _METAVARS_BY_TYPE.get(kind, "TEXT")


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
