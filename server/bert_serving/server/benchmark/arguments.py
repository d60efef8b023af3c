"""The options of `bert-serving-benchmark`: those of `bert-serving-start`, those of 1.10's benchmark, and ours."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from bert_serving.server.benchmark.plan import CLIENT_PARAMETERS, SERVER_PARAMETERS, Choices
from bert_serving.server.benchmark.workloads import SENTENCES, WORDS
from bert_serving.server.command_line import OneLineParser
from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import ConfigError
from bert_serving.server.options import add_server_options, get_args_parser

_SENTENCES = "sentences.txt"
"""Beside this module: what a benchmark sends outside a folder with a README.md."""


def get_benchmark_parser() -> OneLineParser:
    """The parser of `bert-serving-benchmark`; `Settings.from_args` takes its result."""
    parser = OneLineParser(
        prog="bert-serving-benchmark",
        usage="%(prog)s (-model_dir FOLDER | -target SERVER) [options]",
        description="Measure a server: one that it starts with different options, or a running one (-target).",
        epilog="example:\n  bert-serving-benchmark -model_dir /models/uncased_L-12_H-768_A-12 -cpu -output ./benchmark",
    )
    _add_legacy(parser.add_argument_group("Benchmark: what 1.10 varies, one parameter at a time"))
    _add_ours(parser.add_argument_group("Benchmark: load, target and output"))
    add_server_options(parser, needs_model=False)  # with -target no server is started
    parser.add_help_and_version()
    return parser


def _add_legacy(group: Any) -> None:
    at_least_1 = _number(int, 1)
    _add(group, "num_client", at_least_1, 1, "concurrent clients, where this is not varied")
    _add(group, "client_batch_size", at_least_1, 4096, "texts in one request, where this is not varied")
    _add(group, "test_client_batch_size", at_least_1, (1, 16, 256, 4096), "values to measure; none: skip this")
    _add(group, "test_max_batch_size", at_least_1, (8, 32, 128, 512), "values to measure")
    _add(group, "test_max_seq_len", _number(int, 4), (32, 64, 128, 256), "values to measure")
    _add(group, "test_num_client", at_least_1, (1, 4, 16, 64), "values to measure")
    _add(group, "test_pooling_layer", int, tuple(range(-1, -13, -1)), "values to measure; layers that the model lacks "
         "are skipped")  # fmt: skip
    _add(group, "wait_till_ready", _number(float, 1), 30, "seconds to wait for a server to become ready")
    _add(group, "client_vocab_file", str, "README.md", "file whose text the requests are made of; if there is no "
         "README.md, built-in sentences", metavar="FILE")  # fmt: skip
    _add(group, "num_repeat", at_least_1, 10, "repeats, equal parts of -duration, whose median is reported")


def _add_ours(group: Any) -> None:
    rate = _number(float, 0.001)
    _add(group, "texts", str, (WORDS, SENTENCES), "random words of full length, real sentences, or both",
         choices=(WORDS, SENTENCES), metavar=f"{WORDS}|{SENTENCES}")  # fmt: skip
    _add(group, "duration", _number(float, 0.1), 10.0, "seconds of load for each point", metavar="SECONDS")
    _add(group, "arrival_rate", rate, (), "single sentences per second that arrive at random times (open loop)",
         metavar="RATE")  # fmt: skip
    _add(group, "interactive_rate", _number(float, 0), 10.0, "single sentences per second sent during bulk load; 0: "
         "skip this", metavar="RATE")  # fmt: skip
    _add(group, "target", str, None, "running server to measure: HOST:PORT:PORT_OUT or "
         "http://HOST:PORT/v1/embeddings", metavar="SERVER")  # fmt: skip
    _add(group, "target_model", str, "bert", "name of the model in requests to a URL", metavar="NAME")
    _add(group, "output", Path, Path("benchmark"), "folder for Markdown, JSON, plots and the server's log",
         metavar="FOLDER")  # fmt: skip
    _add(group, "seed", int, 1, "seed of texts and arrival times")


def _add(group: Any, name: str, read: Callable[[str], Any], default: Any, text: str, **more: Any) -> None:
    several = isinstance(default, tuple)
    shown = " ".join(map(str, default)) if several else default
    about = text if default in (None, ()) else f"{text} (default: {shown})"
    options = {"nargs": "*" if several else None, "metavar": "N", **more}
    group.add_argument(f"-{name}", f"--{name}", dest=name, type=read, default=default, help=about, **options)


def _number(kind: Callable[[str], Any], least: float) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be at least {least:g}, not {text}")
        return value

    return read


@dataclass(frozen=True)
class Settings:
    """What a run of the benchmark is to do. Times in seconds.

    `config` is that of the server to be started, None with a `target`. `text` is the content of -client_vocab_file.
    """

    choices: Choices
    config: ServerConfig | None
    target: str | None
    target_model: str
    text: str
    wait_till_ready_s: float
    duration_s: float
    num_repeat: int
    output: Path
    seed: int
    plain: dict[str, Any]

    @staticmethod
    def from_args(args: argparse.Namespace) -> Settings:
        """Raises ConfigError for a file or a combination of options that cannot work."""
        if not args.target and not args.model_dir:
            raise ConfigError("give -model_dir, the folder of a model, or -target, a running server")
        if not args.texts:
            raise ConfigError(f"-texts needs {WORDS}, {SENTENCES} or both")
        return Settings(
            choices=_choices(args),
            config=ServerConfig.from_mapping(vars(args)) if args.model_dir else None,
            target=args.target,
            target_model=args.target_model,
            text=_text(args),
            wait_till_ready_s=args.wait_till_ready,
            duration_s=args.duration,
            num_repeat=args.num_repeat,
            output=args.output,
            seed=args.seed,
            plain=_plain(args),
        )


def _choices(args: argparse.Namespace) -> Choices:
    return Choices(
        texts=tuple(dict.fromkeys(args.texts)),
        client_batch_size=args.client_batch_size,
        num_client=args.num_client,
        arrival_rates=tuple(args.arrival_rate),
        interactive_rate=args.interactive_rate,
        values={name: tuple(getattr(args, f"test_{name}")) for name in (*CLIENT_PARAMETERS, *SERVER_PARAMETERS)},
    )


def _plain(args: argparse.Namespace) -> dict[str, Any]:
    """Our own options, for the report; those of the server are told by the server."""
    of_server = set(vars(get_args_parser().parse_args(["-model_dir", "M"])))
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in sorted(vars(args).items())
        if name not in of_server and value is not None
    }


def _text(args: argparse.Namespace) -> str:
    path = Path(args.client_vocab_file)
    if "client_vocab_file" in args.given or path.is_file():
        return _read(path)
    return resources.files(__package__).joinpath(_SENTENCES).read_text("utf-8")


def _read(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"-client_vocab_file {path} cannot be read ({error}): give another text file") from None
    if not any(map(str.isalnum, text)):
        raise ConfigError(f"-client_vocab_file {path} has no words: give another text file")
    return text
