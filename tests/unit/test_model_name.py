"""What a model is called, by its option, its folder and its config."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from serving import fake_config

from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import ConfigError
from bert_serving.server.model_name import model_name, name_of
from bert_serving.server.options import get_args_parser

HASH = "8b3219a92973c328a8e22fadcfa821b5dc75636a"
HUB = "/root/.cache/huggingface/hub"


@pytest.mark.parametrize(
    ("folder", "saved_as", "name"),
    [
        ("/models/uncased_L-12_H-768_A-12", "", "uncased_L-12_H-768_A-12"),
        ("/models/all-MiniLM-L6-v2", "nreimers/MiniLM-L6-H384-uncased", "all-MiniLM-L6-v2"),
        (f"{HUB}/models--BAAI--bge-small-en/snapshots/{HASH}", "", "BAAI/bge-small-en"),
        (f"{HUB}/models--BAAI--bge-small-en/snapshots/{HASH}", "other/base", "BAAI/bge-small-en"),
        (f"{HUB}/models--bert-base-uncased/snapshots/{HASH}", "", "bert-base-uncased"),
        (f"{HUB}/models--a--b--c/snapshots/{HASH}/0_Transformer", "", "a/b--c"),
        ("/model", "BAAI/bge-small-en", "BAAI/bge-small-en"),
        ("/model", "bert-base-uncased", "bert-base-uncased"),
        ("/Models", "BAAI/bge-small-en", "BAAI/bge-small-en"),
        (f"/mnt/{HASH}", "BAAI/bge-small-en", "BAAI/bge-small-en"),
        ("/out/checkpoint-500", "org/tuned", "org/tuned"),
        ("/serving/1", "org/tuned", "org/tuned"),
        ("/model", "/home/me/bge-small-en/", "bge-small-en"),
        ("/model", r"C:\Users\me\bge-small-en", "bge-small-en"),
        ("/model", "./bge-small-en", "bge-small-en"),
        ("/model", "../a/b/bge-small-en", "bge-small-en"),
        ("/model", "models/bge-small-en", "bge-small-en"),
        ("/model", f"{HUB}/models--BAAI--bge-small-en/snapshots/{HASH}", "BAAI/bge-small-en"),
        ("/model", "/root/.cache/torch/sentence_transformers/BAAI_bge-small-en/", "BAAI_bge-small-en"),
        ("/model", "/tmp/model", "model"),
        ("/model", "model", "model"),
        ("/model", ".", "model"),
        ("/model", "..", "model"),
        ("/model", "/", "model"),
        ("/model", "", "model"),
        ("/", "", "model"),
    ],
)
def test_a_name(folder: str, saved_as: str, name: str) -> None:
    assert name_of(PurePosixPath(folder), saved_as) == name


def folder_with(top: Path, content: Any) -> Path:
    folder = top / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def test_the_option_goes_first(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"_name_or_path": "org/name"})
    assert model_name(fake_config(model_dir=str(folder))) == "org/name"
    assert model_name(fake_config(model_dir=str(folder), model_name="mine")) == "mine"
    (tmp_path / "named").symlink_to(folder)
    assert model_name(fake_config(model_dir=str(tmp_path / "named"))) == "org/name"


@pytest.mark.parametrize("content", [{}, [], {"_name_or_path": 5}, {"_name_or_path": "a\nb"}, b"{", b"\xff\xfe\0"])
def test_a_config_that_names_nothing(content: Any, tmp_path: Path) -> None:
    assert model_name(fake_config(model_dir=str(folder_with(tmp_path, content)))) == "model"


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    assert model_name(fake_config(model_dir=os.fsdecode(folder))) == "caf?"


def test_the_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def parse(*words: str) -> ServerConfig:
        return ServerConfig.from_mapping(vars(get_args_parser().parse_args(["-model_dir", "M", *words])))

    assert parse("-model_name", " org/name\n").model_name == "org/name"
    monkeypatch.setenv("BERT_SERVING_MODEL_NAME", "by-environment")
    assert parse().model_name == "by-environment"
    for name in ("", " ", "a\0b"):
        with pytest.raises(SystemExit):
            parse("-model_name", name)
        assert "must be a name" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="-model_name"):
        ServerConfig(model_dir="M", model_name=" ")


def test_vectors_do_not_depend_on_it() -> None:
    assert ServerConfig(model_dir="M", model_name="a").vector_options() == ServerConfig(model_dir="M").vector_options()
