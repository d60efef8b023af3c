"""Which points are measured, and the command line of the server for each."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bert_serving.server import ConfigError, ServerConfig
from bert_serving.server.benchmark.arguments import Settings, get_benchmark_parser
from bert_serving.server.benchmark.plan import as_words, make_plan, skipped_parameters
from bert_serving.server.benchmark.results import Kind
from bert_serving.server.benchmark.workloads import sentences, vocabulary
from bert_serving.server.options import get_args_parser

LEGACY_DEFAULTS: dict[str, Any] = {
    "num_client": 1,
    "client_batch_size": 4096,
    "test_client_batch_size": (1, 16, 256, 4096),
    "test_max_batch_size": (8, 32, 128, 512),
    "test_max_seq_len": (32, 64, 128, 256),
    "test_num_client": (1, 4, 16, 64),
    "test_pooling_layer": tuple(range(-1, -13, -1)),
    "wait_till_ready": 30,
    "client_vocab_file": "README.md",
    "num_repeat": 10,
}


def settings(*words: str) -> Settings:
    return Settings.from_args(get_benchmark_parser().parse_args(["-client_vocab_file", __file__, *words]))


def test_options_of_1_10_have_their_defaults() -> None:
    args = vars(get_benchmark_parser().parse_args(["-model_dir", "M"]))
    assert {name: args[name] for name in LEGACY_DEFAULTS} == LEGACY_DEFAULTS


def test_options_of_the_server_are_options_of_the_benchmark() -> None:
    ours = {flag for action in get_benchmark_parser()._actions for flag in action.option_strings}
    servers = {flag for action in get_args_parser()._actions for flag in action.option_strings}
    assert servers - {"-dry_run", "--dry_run"} < ours


def test_one_parameter_is_varied_at_a_time() -> None:
    chosen = settings("-model_dir", "M", "-arrival_rate", "5", "-max_seq_len", "40")
    assert chosen.config is not None
    plan = make_plan(chosen.choices, chosen.config)
    sizes = {spec.table: sum(other.table == spec.table for other in plan) for spec in plan}
    assert sizes == {
        "client_batch_size": 8,
        "num_client": 8,
        "arrival_rate": 2,
        "interactive": 4,
        "max_batch_size": 8,
        "max_seq_len": 8,
        "pooling_layer": 24,
    }
    for spec in plan:
        assert spec.config is not None
        usual = {"client_batch_size": 4096, "num_client": 1, "max_batch_size": 256, "max_seq_len": 40}
        found = {name: getattr(spec, name, None) or getattr(spec.config, name) for name in usual}
        assert {name for name in usual if found[name] != usual[name]} <= {spec.table}


def test_servers_are_started_as_seldom_as_possible() -> None:
    chosen = settings("-model_dir", "M")
    plan = make_plan(chosen.choices, chosen.config)
    starts = 1 + sum(one.config != other.config for one, other in pairwise(plan))
    assert starts == 1 + 4 + 4 + 12


def test_a_running_server_is_not_varied() -> None:
    chosen = settings("-target", "localhost:5555:5556")
    assert {spec.table for spec in make_plan(chosen.choices, None)} == {
        "client_batch_size",
        "num_client",
        "interactive",
    }
    assert skipped_parameters(chosen.choices) == ["max_batch_size", "max_seq_len", "pooling_layer"]


def test_what_has_no_values_is_left_out() -> None:
    words = [word for name in LEGACY_DEFAULTS if name.startswith("test_") for word in (f"-{name}",)]
    chosen = settings("-model_dir", "M", *words, "-interactive_rate", "0", "-arrival_rate", "7", "-texts", "words")
    [spec] = make_plan(chosen.choices, chosen.config)
    assert (spec.kind, spec.value, spec.rate, spec.texts) == (Kind.OPEN, 7.0, 7.0, "words")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-max_seq_len", "NONE", "-cpu", "-port", "6000"],
        ["-pooling_layer", "-1", "-2", "-pooling_strategy", "CLS_TOKEN", "-device_map", "-fp16"],
    ],
    ids=" ".join,
)
def test_a_config_is_told_by_a_command_line(words: list[str]) -> None:
    config = ServerConfig.from_mapping(vars(get_args_parser().parse_args(["-model_dir", "M", *words])))
    assert ServerConfig.from_mapping(vars(get_args_parser().parse_args(as_words(config)))) == config


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give -model_dir"),
        (["-model_dir", "M", "-texts"], "-texts needs"),
        (["-model_dir", "M", "-client_vocab_file", "no-such-file"], "cannot be read"),
        (["-model_dir", "M", "-port", "1", "-port_out", "1"], "must differ"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_cannot_work_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        settings(*words)


@pytest.mark.parametrize("words", [["-duration", "0"], ["-num_repeat", "x"], ["-arrival_rate", "inf"], ["-texts", "x"]])
def test_values_that_cannot_work_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings("-model_dir", "M", *words)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_outside_a_folder_with_a_readme_there_are_built_in_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    built_in = Settings.from_args(get_benchmark_parser().parse_args(["-model_dir", "M"])).text
    assert len(sentences(built_in)) > 60
    assert len(vocabulary(built_in)) > 400
    (tmp_path / "README.md").write_text("of this folder")
    assert Settings.from_args(get_benchmark_parser().parse_args(["-model_dir", "M"])).text == "of this folder"
    with pytest.raises(ConfigError, match=r"-client_vocab_file missing\.txt cannot be read"):
        settings("-model_dir", "M", "-client_vocab_file", "missing.txt")
