"""The options of `bert-serving-benchmark`: those of `bert-serving-start`, those of 1.10's benchmark, and ours."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_serving.server.benchmark.plan import CLIENT_PARAMETERS, SERVER_PARAMETERS, Choices
from bert_serving.server.benchmark.workloads import SENTENCES, WORDS
from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import ConfigError
from bert_serving.server.options import get_args_parser


def get_benchmark_parser() -> argparse.ArgumentParser:
    """The parser of `bert-serving-benchmark`; `Settings.from_args` takes its result."""
    parser = get_args_parser()
    parser.prog = "bert-serving-benchmark"
    parser.description = "Measure a server: one that it starts and varies, or one that runs already (-target)."
    parser.epilog = (
        "example: bert-serving-benchmark -model_dir /models/uncased_L-12_H-768_A-12 -cpu -output ./benchmark"
    )
    for action in parser._actions:
        if action.dest == "model_dir":
            action.required = False  # with -target no server is started
    _add_legacy(parser.add_argument_group("Benchmark: what 1.10 varies, one parameter at a time"))
    _add_ours(parser.add_argument_group("Benchmark: load, target and output"))
    return parser


def _add_legacy(group: Any) -> None:
    at_least_1 = _number(int, 1)
    _add(group, "num_client", at_least_1, 1, "clients at once, where this is not varied")
    _add(group, "client_batch_size", at_least_1, 4096, "texts in a request, where this is not varied")
    _add(group, "test_client_batch_size", at_least_1, (1, 16, 256, 4096), "values; none after it: leave this out")
    _add(group, "test_max_batch_size", at_least_1, (8, 32, 128, 512), "values")
    _add(group, "test_max_seq_len", _number(int, 4), (32, 64, 128, 256), "values")
    _add(group, "test_num_client", at_least_1, (1, 4, 16, 64), "values")
    _add(group, "test_pooling_layer", int, tuple(range(-1, -13, -1)), "values; layers that the model lacks are skipped")
    _add(group, "wait_till_ready", _number(float, 1), 30, "seconds to wait until a server is ready")
    _add(group, "client_vocab_file", str, "README.md", "text file from which the texts are made")
    _add(group, "num_repeat", at_least_1, 10, "repeats of which the median is taken: equal parts of -duration")


def _add_ours(group: Any) -> None:
    rate = _number(float, 0.001)
    _add(group, "texts", str, (WORDS, SENTENCES), "random words of full length, real sentences, or both",
         choices=(WORDS, SENTENCES))  # fmt: skip
    _add(group, "duration", _number(float, 0.1), 10.0, "seconds of load for each point")
    _add(group, "arrival_rate", rate, (), "single sentences a second that arrive at random times (open loop)")
    _add(group, "interactive_rate", _number(float, 0), 10.0, "single sentences a second beside bulk; 0: leave this out")
    _add(group, "target", str, None, "measure a running server: HOST:PORT:PORT_OUT or http://HOST:PORT/v1/embeddings")
    _add(group, "target_model", str, "bert", "name of the model in requests to a URL")
    _add(group, "output", Path, Path("benchmark"), "folder for Markdown, JSON, plots and the server's log")
    _add(group, "seed", int, 1, "the same seed gives the same texts and times of arrival")


def _add(group: Any, name: str, read: Callable[[str], Any], default: Any, text: str, **more: Any) -> None:
    several = isinstance(default, tuple)
    shown = " ".join(map(str, default)) if several else default
    about = text if default in (None, ()) else f"{text} (default: {shown})"
    nargs = "*" if several else None
    group.add_argument(f"-{name}", f"--{name}", dest=name, type=read, nargs=nargs, default=default, help=about, **more)


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
            raise ConfigError("-model_dir is required: the folder of a BERT model; or -target: a server that runs")
        if not args.texts:
            raise ConfigError(f"-texts needs {WORDS}, {SENTENCES} or both")
        return Settings(
            choices=_choices(args),
            config=ServerConfig.from_mapping(vars(args)) if args.model_dir else None,
            target=args.target,
            target_model=args.target_model,
            text=_read(Path(args.client_vocab_file)),
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


def _read(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"-client_vocab_file {path} cannot be read ({error}): give any text file") from None
    if not any(map(str.isalnum, text)):
        raise ConfigError(f"-client_vocab_file {path} has no words: give any text file")
    return text
