"""Options: names, defaults and refusals of the command line; one table feeds parser, config and child processes."""

from __future__ import annotations

import pytest

from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import ConfigError
from bert_serving.server.helper import get_args_parser, get_shutdown_parser
from bert_serving.server.options import argument_table
from bert_serving.server.poolings import PoolingStrategy

LEGACY_DEFAULTS = {
    "tuned_model_dir": None,
    "ckpt_name": "bert_model.ckpt",
    "config_name": "bert_config.json",
    "graph_tmp_dir": None,
    "max_seq_len": 25,
    "cased_tokenization": False,
    "pooling_layer": [-2],
    "pooling_strategy": 2,
    "mask_cls_sep": False,
    "no_special_token": False,
    "show_tokens_to_client": False,
    "no_position_embeddings": False,
    "num_labels": 2,
    "port": 5555,
    "port_out": 5556,
    "http_port": None,
    "http_max_connect": 10,
    "cors": "*",
    "num_worker": 1,
    "max_batch_size": 256,
    "priority_batch_size": 16,
    "cpu": False,
    "xla": False,
    "fp16": False,
    "gpu_memory_fraction": 0.5,
    "device_map": [],
    "prefetch_size": 10,
    "fixed_embed_length": False,
    "verbose": False,
}


def parse(*words: str) -> ServerConfig:
    return ServerConfig.from_mapping(vars(get_args_parser().parse_args(["-model_dir", "M", *words])))


def test_every_option_of_1_10_has_its_default() -> None:
    status = parse().as_status()
    assert {name: status[name] for name in LEGACY_DEFAULTS} == LEGACY_DEFAULTS


def test_the_namespace_holds_the_defaults_too() -> None:
    args = get_args_parser().parse_args(["-model_dir", "M"])
    assert (args.port, args.max_seq_len, args.device_map) == (5555, 25, ())


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["-max_seq_len", "NONE"], "max_seq_len", None),
        (["-max_seq_len=40"], "max_seq_len", 40),
        (["--port", "6000"], "port", 6000),
        (["-port_in", "6000"], "port", 6000),
        (["-port_data", "6000"], "port", 6000),
        (["-port_result", "6001"], "port_out", 6001),
        (["-pooling_layer", "-4", "-3", "-2", "-1"], "pooling_layer", (-4, -3, -2, -1)),
        (["-pooling_strategy", "LAST_TOKEN"], "pooling_strategy", PoolingStrategy.SEP_TOKEN),
        (["-device_map", "0", "1", "4"], "device_map", (0, 1, 4)),
        (["-device_map"], "device_map", ()),
        (["-cpu"], "cpu", True),
        (["-num_worker=4"], "num_worker", 4),
        (["-num-worker", "4"], "num_worker", 4),
        (["--num-worker=4"], "num_worker", 4),
        (["-max-seq_len", "40"], "max_seq_len", 40),
        (["-pooling-layer", "-1", "-2"], "pooling_layer", (-1, -2)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_are_read(words: list[str], name: str, value: object) -> None:
    assert getattr(parse(*words), name) == value


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-port", "70000"], "-port: must be a whole number from 1 to 65535, not 70000"),
        (["-max_seq_len", "3"], "must be above 3"),
        (["-max_seq_len", "many"], "must be a whole number or NONE, not 'many'"),
        (["-pooling_layer", "2"], "2 is not a layer"),
        (["-pooling_strategy", "MEAN"], "must be one of NONE, REDUCE_MAX"),
        (["-dtype", "int4"], "must be one of float32, bfloat16, float16, int8, auto, not 'int4'"),
        (["-num_worker", "0"], "at least 1, not 0"),
        (["-terminate", "root"], "must be one of local, key, never, anywhere, not 'root'"),
        (["-gpu_memory_fraction", "1.5"], "at most 1, not 1.5"),
        (["-no_such_option"], "unrecognized arguments: -no_such_option"),
        (["-num_wroker", "2"], "unrecognized arguments: -num_wroker 2: did you mean -num_worker?"),
        (["--pooling-stategy=NONE"], "--pooling-stategy=NONE: did you mean --pooling_strategy?"),
        (["-xyzzy"], "unrecognized arguments: -xyzzy\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_one_clear_line_and_exit_status_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        parse(*words)
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("bert-serving-start: error: ")
    assert says in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-port", "5556"], "-port and -port_out are both 5556"),
        (["-fixed_embed_length"], "needs -pooling_strategy NONE"),
        (["-pooling_layer", "-1", "-1"], "names a layer twice"),
        (["-normalize", "-no_normalize"], "cannot be combined"),
        (["-fp16", "-dtype", "bfloat16"], "cannot be combined"),
        (["-terminate", "key"], "-terminate key needs keys: give their folder with -curve_dir"),
        (["-terminate", "never", "-allow_remote_terminate"], "means -terminate anywhere, not never"),
        (["-terminate", "local", "-allow_remote_terminate"], "means -terminate anywhere, not local"),
        (["-terminate", "key", "-curve_dir", "D", "-allow_remote_terminate"], "means -terminate anywhere, not key"),
        (["-http_port", "5556"], "-http_port and another port are both 5556"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_impossible_combination_is_refused(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(*words)


@pytest.mark.parametrize(
    ("words", "terminate"),
    [
        ([], "local"),
        (["-terminate", "never"], "never"),
        (["-terminate", "key", "-curve_dir", "D"], "key"),
        (["-allow_remote_terminate"], "anywhere"),
        (["-allow_remote_terminate", "-terminate", "anywhere"], "anywhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_who_may_stop_the_server(words: list[str], terminate: str) -> None:
    config = parse(*words)
    assert config.terminate == terminate
    assert ServerConfig.from_json(config.to_json()) == config
    assert config.as_status()["terminate"] == terminate


def test_who_may_stop_the_server_is_one_of_a_few_from_python_too() -> None:
    with pytest.raises(ConfigError, match="-terminate must be one of local, key, never, anywhere, not 'nobody'"):
        ServerConfig(model_dir="M", terminate="nobody")
    assert ServerConfig(model_dir="M", allow_remote_terminate=True).terminate == "anywhere"


def test_what_was_given_wins_over_the_model_folder() -> None:
    config = parse("-pooling_layer", "-2").with_model_defaults(pooling_layer=(-1,), max_seq_len=256)
    assert config.pooling_layer == (-2,)  # the default's value, but somebody said it
    assert config.max_seq_len == 256


def test_a_config_survives_the_way_to_a_child() -> None:
    config = parse("-pooling_strategy", "NONE", "-device_map", "1", "-max_seq_len", "NONE")
    assert ServerConfig.from_json(config.to_json()) == config


def test_the_argument_table_shows_every_option() -> None:
    table = argument_table(parse("-pooling_strategy", "CLS_TOKEN"))
    assert "pooling_strategy = FIRST_TOKEN" in table
    assert all(f" {name} = " in table for name in LEGACY_DEFAULTS)


def test_terminate_needs_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        get_shutdown_parser().parse_args([])
    assert "-port" in capsys.readouterr().err
    args = get_shutdown_parser().parse_args(["-port_in", "7"])
    assert (args.ip, args.port, args.timeout) == ("localhost", 7, 5000)


def test_options_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"MODEL_DIR": "/model", "NUM_WORKER": "2", "CPU": "1", "XLA": "0", "POOLING_LAYER": "-1 -2"}
    for name, value in {**values, "MAX_SEQ_LEN": "64", "FAULT_DIE": "no option"}.items():
        monkeypatch.setenv(f"BERT_SERVING_{name}", value)
    config = ServerConfig.from_mapping(vars(get_args_parser().parse_args(["-max_seq_len", "32"])))
    assert (config.model_dir, config.num_worker, config.cpu, config.xla) == ("/model", 2, True, False)
    assert config.pooling_layer == (-1, -2)
    assert config.max_seq_len == 32  # what is given as an argument wins
    assert {"num_worker", "cpu", "max_seq_len"} <= config.given
    monkeypatch.setenv("BERT_SERVING_CPU", "perhaps")
    with pytest.raises(SystemExit):
        get_args_parser().parse_args([])


def test_a_key_is_shown_nowhere() -> None:
    config = ServerConfig(model_dir="M", http_api_key="sesame")
    assert "sesame" not in argument_table(config) + str(config.as_status())
