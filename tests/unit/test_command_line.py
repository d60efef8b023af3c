"""What a person sees of the commands' options: help, hints at what was meant, variables that are no option."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from bert_serving.server import BertServer, ConfigError, PoolingStrategy
from bert_serving.server.benchmark.arguments import get_benchmark_parser
from bert_serving.server.cli.encode import get_encode_parser
from bert_serving.server.cli.verify import get_verify_parser
from bert_serving.server.command_line import OneLineParser
from bert_serving.server.config import ServerConfig
from bert_serving.server.options import (
    argument_table,
    config_of,
    get_args_parser,
    get_gateway_parser,
    get_shutdown_parser,
    given_arguments,
)

PARSERS = [
    get_args_parser, get_encode_parser, get_benchmark_parser, get_verify_parser, get_gateway_parser, get_shutdown_parser
]  # fmt: skip
of_each_command = pytest.mark.parametrize("make", PARSERS, ids=lambda make: make.__name__)


def written(make: Callable[[], OneLineParser], capsys: pytest.CaptureFixture[str], word: str) -> str:
    with pytest.raises(SystemExit) as exit_info:
        make().parse_args([word])
    assert exit_info.value.code == 0
    return capsys.readouterr().out


@of_each_command
@pytest.mark.parametrize("word", ["-help", "--help", "-h"])
def test_help_is_short_at_the_top_and_names_each_option_once(
    make: Callable[[], OneLineParser], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = written(make, capsys, word)
    assert text.index("\n\n") < 120, "the usage is one short line"
    names = re.findall(r"^  (-\w+)", text, re.MULTILINE)
    options = {action.option_strings[0] for action in make()._actions if action.option_strings}
    assert sorted(names) == sorted(options)
    assert " --" not in text


@pytest.mark.parametrize(("make", "own"), [(get_encode_parser, "-column"), (get_benchmark_parser, "-num_client")])
def test_a_commands_own_options_come_first(
    make: Callable[[], OneLineParser], own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = written(make, capsys, "-help")
    assert 0 < text.index(f"\n  {own} ") < text.index("\n  -model_dir ")


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("BERT_SERVING_NUM_WROKER", "is not an option and is ignored: did you mean BERT_SERVING_NUM_WORKER?"),
        ("BERT_SERVING_XYZZY", "BERT_SERVING_XYZZY is not an option and is ignored\n"),
    ],
)
def test_a_variable_that_is_no_option_is_named(
    variable: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "2")
    get_args_parser().parse_args(["-model_dir", "M"])
    shown = capsys.readouterr().err
    assert shown.startswith(f"bert-serving-start: warning: {variable} ")
    assert says in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODELS", "models.toml"),  # an option of another command
        ("PORT", "tcp://10.0.0.7:5555"),  # what Kubernetes says of a Service called bert-serving
        ("SERVICE_HOST", "10.0.0.7"),
        ("SERVICE_PORT_REQUESTS", "5555"),
        ("PORT_5555_TCP_ADDR", "10.0.0.7"),
        ("HTTP_PORT", "tcp://10.0.0.7:8125"),
    ],
)
def test_variables_of_others_are_left_alone(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"BERT_SERVING_{name}", value)
    args = get_args_parser().parse_args(["-model_dir", "M"])
    assert (args.port, args.http_port) == (5555, None)
    assert capsys.readouterr().err == ""


def test_options_by_name_are_read_as_those_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERT_SERVING_NUM_WORKER", "7")
    asked = {
        "model_dir": "my models", "cpu": True, "xla": False, "max_seq_len": None, "pooling_layer": [-1, -2],
        "pooling_strategy": PoolingStrategy.CLS_TOKEN, "device_map": (), "gpu_memory_fraction": 0.25, "http_port": None,
    }  # fmt: skip
    config = config_of(asked)
    assert (config.model_dir, config.cpu, config.max_seq_len) == ("my models", True, None)
    assert (config.pooling_layer, config.pooling_strategy) == ((-1, -2), PoolingStrategy.CLS_TOKEN)
    assert (config.gpu_memory_fraction, config.num_worker) == (0.25, 1)
    assert "normalize" not in config.given
    assert (
        config_of({"model_dir": "M", "pooling_strategy": "REDUCE_MAX"}).pooling_strategy is PoolingStrategy.REDUCE_MAX
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "-model_dir is required"),
        ({"model_dir": "M", "num_worker": 0}, "-num_worker: must be a whole number of at least 1, not 0"),
        ({"model_dir": "M", "num_wroker": 2}, "unrecognized arguments: -num_wroker=2: did you mean -num_worker"),
        ({"model_dir": "M", "pooling_layer": -1.5}, "must be a negative whole number"),
        ({"model_dir": "M", "port": 5, "port_out": 5}, "must differ"),
        ({"model_dir": "M", "cpu": "yes"}, "-cpu: ignored explicit argument 'yes'"),
    ],
    ids=str,
)
def test_wrong_options_by_name_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        BertServer(**options)


def test_options_are_given_in_one_place() -> None:
    with pytest.raises(ConfigError, match="give all options in args, or none there: cpu"):
        BertServer(get_args_parser().parse_args(["-model_dir", "M"]), cpu=True)


def test_what_was_set_is_shown_as_it_would_be_typed() -> None:
    words = ["-model_dir", "my models", "-max_seq_len", "NONE", "-pooling_layer", "-1", "-2", "-cpu"]
    config = ServerConfig.from_mapping(vars(get_args_parser().parse_args(words)))
    assert given_arguments(config) == "-model_dir 'my models' -max_seq_len NONE -pooling_layer -1 -2 -cpu"
    secret = ServerConfig(model_dir="M", http_api_key="sesame", given=frozenset({"http_api_key"}))
    assert "sesame" not in given_arguments(secret) + argument_table(secret)
