"""Model folders, and options for them, that are refused before any weight is read, and the sentence that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from folders import TINY
from model_folders import Folder, copy_tiny, resolve

from bert_serving.server.errors import ConfigError, StartError


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"-model_dir .*absent is not a folder"):
        resolve(tmp_path / "absent")
    with pytest.raises(StartError, match=r"-tuned_model_dir .*absent is not a folder"):
        resolve(TINY, tuned_model_dir=str(tmp_path / "absent"))


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"contains no model.*bert_model\.ckpt\.index.*model\.safetensors"):
        resolve(tmp_path)


@pytest.mark.parametrize(
    "name", ["bert_config.json", "vocab.txt", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"]
)
def test_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=f"{name} is missing"):
        resolve(copy_tiny(tmp_path, without=name))


def test_another_checkpoint_is_pointed_out() -> None:
    with pytest.raises(StartError, match=r"give -ckpt_name model\.ckpt-343"):
        resolve(TINY, tuned_model_dir=str(TINY.parent / "tiny_bert_tuned"))


def test_pickles_are_refused(torch_folder: Folder) -> None:
    folder = torch_folder()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(StartError, match=r"pytorch_model\.bin.*never loaded.*model\.safetensors"):
        resolve(folder)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 90868376\n"


@pytest.mark.parametrize(
    "name", ["bert_config.json", "vocab.txt", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"]
)
def test_pointers_of_git_lfs_in_a_checkpoint(name: str, tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path)
    (folder / name).write_text(POINTER)
    with pytest.raises(StartError, match=f"{name} is a Git LFS pointer.*git lfs pull"):
        resolve(folder)


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors", "tokenizer_config.json"])
def test_pointers_of_git_lfs_in_a_folder_of_hugging_face(name: str, torch_folder: Folder) -> None:
    folder = torch_folder()
    (folder / name).write_text(POINTER)
    with pytest.raises(StartError, match=f"{name} is a Git LFS pointer.*git lfs pull"):
        resolve(folder)


@pytest.mark.parametrize(("where", "line"), [(0, 1), (7, 8)])
def test_blank_lines_in_a_vocabulary_are_counted(tmp_path: Path, where: int, line: int) -> None:
    folder = copy_tiny(tmp_path)
    lines = (folder / "vocab.txt").read_text("utf-8").split("\n")
    (folder / "vocab.txt").write_text("\n".join([*lines[:where], "", "", *lines[where:]]), "utf-8")
    with pytest.raises(StartError, match=f"it has 2 extra blank lines, the first is line {line}; remove them"):
        resolve(folder)


def test_missing_shard(torch_folder: Folder) -> None:
    folder = torch_folder()
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    with pytest.raises(StartError, match=r"model-1\.safetensors is missing"):
        resolve(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(StartError, match="weight_map"):
        resolve(folder)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model_type": "gpt2"}, 'model_type is "gpt2"'),
        ({"hidden_act": "mish"}, 'hidden_act "mish"'),
        ({"position_embedding_type": "relative_key"}, 'position_embedding_type "relative_key"'),
        ({"is_decoder": True}, "is_decoder"),
        ({"hidden_size": None}, "hidden_size must be a whole number of at least 1, not null"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number of at least 1, not 0"),
        ({"num_attention_heads": 5}, "hidden_size 48 is not a multiple of num_attention_heads 5"),
        ({"layer_norm_eps": "tiny"}, 'layer_norm_eps must be a small number, not "tiny"'),
        ({"vocab_size": 5764}, r"vocab\.txt has 5763 tokens, but vocab_size is 5764"),
        ({"vocab_size": 5760}, r"vocab\.txt has 5763 tokens, but vocab_size is 5760"),
    ],
)
def test_config_that_cannot_be_served(values: dict[str, Any], sentence: str, torch_folder: Folder) -> None:
    with pytest.raises(StartError, match=sentence):
        resolve(torch_folder(**values))


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "not valid JSON"), ("[]", "must hold a JSON object"), ("\udc80", "not valid JSON")]
)
def test_broken_config(text: str, sentence: str, torch_folder: Folder) -> None:
    folder = torch_folder()
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StartError, match=rf"config\.json.*{sentence}"):
        resolve(folder)


def test_broken_vocabulary(tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path)
    (folder / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match=r"vocab\.txt is not UTF-8"):
        resolve(folder)


def test_options_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="-max_seq_len 65 is above the model's max_position_embeddings 64"):
        resolve(TINY, max_seq_len=65)
    with pytest.raises(ConfigError, match="-pooling_layer -5 is below the model's first layer, which is -4"):
        resolve(TINY, pooling_layer=[-1, -5])
    with pytest.raises(ConfigError, match="-normalize makes no sense with REGRESSION"):
        resolve(TINY, pooling_strategy="REGRESSION", normalize=True)
    assert resolve(TINY, max_seq_len=64, pooling_layer=[-4]).max_seq_len == 64


def test_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StartError, match=r"install 'bert-serving-server\[cpu\]' or 'bert-serving-server\[gpu\]'"):
        resolve(TINY)
