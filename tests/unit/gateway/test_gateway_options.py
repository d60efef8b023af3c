"""The options of `bert-serving-gateway`: its own, and those of HTTP as the table has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bert_serving.server.cli.gateway import config_of, reader_of
from bert_serving.server.config import ServerConfig, http_options
from bert_serving.server.errors import ConfigError
from bert_serving.server.gateway.model_table import models_of_arguments
from bert_serving.server.options import get_gateway_parser
from bert_serving.server.transport.curve import make_keys


def test_models_may_be_given_together_or_one_by_one() -> None:
    for arguments in (["-model", "a=b", "--model", "c=d", "e=f"], ["-model", "a=b", "c=d", "e=f", "-verbose"]):
        args = get_gateway_parser().parse_args(arguments)
        assert reader_of(args)() == models_of_arguments(["a=b", "c=d", "e=f"])


def test_it_has_all_options_of_http_with_their_defaults() -> None:
    args = get_gateway_parser().parse_args(["-model", "a=b"])
    config = config_of(args)
    names = {option.name for option in http_options()}
    assert {"http_port", "http_api_key", "http_timeout", "cors"} <= names
    for name in names - {"http_port"}:
        assert getattr(config, name) == getattr(ServerConfig(model_dir="x"), name)
    assert config.http_port == 8125


@pytest.mark.parametrize("port", [1, 2, 3, 5555, 5556])
def test_it_may_listen_wherever_services_listen_by_default(port: int) -> None:
    assert config_of(get_gateway_parser().parse_args(["-model", "a=b", "-http_port", str(port)])).http_port == port


def test_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text('[mini]\nendpoints = [{address = "a:1:2"}]')
    monkeypatch.setenv("BERT_SERVING_MODELS", str(tmp_path / "models.toml"))
    monkeypatch.setenv("BERT_SERVING_HTTP_PORT", "9000")
    monkeypatch.setenv("BERT_SERVING_HTTP_API_KEY", "sesame\n")
    monkeypatch.setenv("BERT_SERVING_NUM_WORKER", "no number")  # of another command
    args = get_gateway_parser().parse_args([])
    assert list(reader_of(args)()) == ["mini"]
    assert (config_of(args).http_port, config_of(args).http_api_key) == (9000, "sesame")


def test_other_keys_in_the_folder_make_another_service(tmp_path: Path) -> None:
    (folder,) = make_keys(tmp_path / "keys", ["gateway"])
    (other,) = make_keys(tmp_path / "others", ["gateway"])
    read = reader_of(get_gateway_parser().parse_args(["-model", "a=b", "-curve", str(folder)]))
    (before,), (again,) = read()["a"], read()["a"]
    assert before.unweighted == again.unweighted
    for name in ("client.key_secret", "server.key"):
        (folder / name).write_bytes((other / name).read_bytes())
    (after,) = read()["a"]
    assert after.unweighted != before.unweighted
    assert "secret" not in repr(after)
    (folder / "client.key_secret").unlink()
    with pytest.raises(ConfigError, match=r"a at b:5555:5556: the keys cannot be used"):
        read()
