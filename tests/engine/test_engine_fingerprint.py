"""The fingerprint: whatever shapes vectors changes it, nothing else does, and it goes by content."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from folders import TINY, TUNED
from model_folders import copy_tiny

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.file_hashes import sha256_of
from bert_serving.server.engine.fingerprint import ModelContent
from bert_serving.server.engine.model_folder import find_model

TUNED_OPTIONS = {"tuned_model_dir": str(TUNED), "ckpt_name": "model.ckpt-343"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bert-serving"


def fingerprint(folder: Path = TINY, dtype: str = "float32", **options: Any) -> str:
    config = ServerConfig.from_mapping({"model_dir": str(folder), **options})
    return ModelContent.of(config, find_model(config)).fingerprint(config, dtype)


def test_it_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert fingerprint() == "f4a65477d589e4e7277135e77e948ee4"


@pytest.mark.parametrize(
    "options",
    [
        {"max_seq_len": 24},
        {"cased_tokenization": True},
        {"pooling_layer": [-1]},
        {"pooling_layer": [-2, -1]},
        {"pooling_strategy": "REDUCE_MAX"},
        {"pooling_strategy": "NONE"},
        {"mask_cls_sep": True},
        {"no_special_token": True},
        {"no_position_embeddings": True},
        {"normalize": True},
        {"fp16": True},
        TUNED_OPTIONS,
    ],
    ids=str,
)
def test_what_shapes_vectors_changes_it(options: dict[str, Any]) -> None:
    assert fingerprint(**options) != fingerprint()


def test_the_number_type_that_was_resolved_changes_it() -> None:
    """`-dtype auto` may find another one on another machine."""
    assert fingerprint(dtype="bfloat16") != fingerprint()


@pytest.mark.parametrize(
    "options",
    [
        {"port": 7000},
        {"num_worker": 3},
        {"max_batch_size": 2},
        {"cpu": True},
        {"xla": True},
        {"show_tokens_to_client": True},
        {"no_normalize": True},
        pytest.param({"num_labels": 7}, id="labels without a head"),
        pytest.param({"max_seq_len": 25}, id="the default, given"),
    ],
    ids=str,
)
def test_what_does_not_leaves_it(options: dict[str, Any]) -> None:
    assert fingerprint(**options) == fingerprint()


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        pytest.param({"max_seq_len": 64}, {"max_seq_len": None}, True, id="as long as the model allows"),
        pytest.param(
            {"max_seq_len": 64, "pooling_strategy": "NONE"},
            {"max_seq_len": None, "pooling_strategy": "NONE"},
            False,
            id="with NONE it is a size of the answer, too",
        ),
        pytest.param(
            {"pooling_strategy": "CLS_POOLED", "pooling_layer": [-1]},
            {"pooling_strategy": "CLS_POOLED", "pooling_layer": [-2]},
            True,
            id="the pooler looks at the last layer alone",
        ),
        pytest.param(
            {"pooling_strategy": "CLASSIFICATION", "num_labels": 2},
            {"pooling_strategy": "CLASSIFICATION", "num_labels": 3},
            False,
            id="labels of a head",
        ),
        pytest.param({"pooling_strategy": "CLS_TOKEN"}, {"pooling_strategy": "FIRST_TOKEN"}, True, id="two names"),
    ],
)
def test_only_what_has_a_say_counts(one: dict[str, Any], other: dict[str, Any], alike: bool) -> None:
    assert (fingerprint(**one) == fingerprint(**other)) == alike


@pytest.mark.parametrize("name", ["bert_model.ckpt.data-00000-of-00001", "bert_config.json", "vocab.txt"])
def test_each_file_of_the_model_counts(name: str, tmp_path: Path) -> None:
    model = copy_tiny(tmp_path)
    assert fingerprint(model) == fingerprint()
    changed = {
        "bert_config.json": lambda text: text.replace(b"gelu", b"relu"),
        "vocab.txt": lambda text: text.replace(b"\nthe\n", b"\nxhe\n"),
    }.get(name, lambda content: content[:-1] + bytes([content[-1] ^ 1]))((model / name).read_bytes())
    assert changed != (model / name).read_bytes()
    (model / name).write_bytes(changed)
    assert fingerprint(model) != fingerprint()


def test_options_of_features_and_pooling_say_that_they_shape_vectors() -> None:
    """Who adds an option there has to think of it."""
    silent = {
        option.name
        for option in fields(ServerConfig)
        if option.metadata.get("group", "").startswith("BERT") and not option.metadata["shapes"]
    }
    assert silent == {
        "show_tokens_to_client",
        "no_normalize",
        "keep_layers",
    }  # what is left of the latter is in -normalize


# -- hashes of files --------------------------------------------------------------------------------------------------


def aged(path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as one that nobody has changed for a while."""
    path.write_bytes(content)
    monkeypatch.setattr("bert_serving.server.engine.file_hashes.SETTLED_S", -1.0)
    return path


def test_a_hash_is_kept_until_the_file_changes(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = aged(tmp_path / "weights", b"one", monkeypatch)
    first = sha256_of(path)
    kept = json.loads((cache / "hashes.json").read_text())
    kept[str(path)][1] = "as it was kept"
    (cache / "hashes.json").write_text(json.dumps(kept))
    assert sha256_of(path) == "as it was kept"  # so it was not read again
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert sha256_of(path) not in (first, "as it was kept")


def test_a_file_of_the_same_size_and_time_in_its_place_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = aged(tmp_path / "weights", b"one", monkeypatch)
    os.utime(path, ns=(1, 1))
    before = sha256_of(path)
    other = tmp_path / "other"
    other.write_bytes(b"two")
    os.utime(other, ns=(1, 1))
    shutil.move(other, path)
    assert sha256_of(path) != before


def test_the_hash_of_a_file_that_was_written_just_now_is_not_kept(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    sha256_of(path)
    assert not (cache / "hashes.json").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b"\xff", b'{"a": [1, 2, 3]}'], ids=repr)
def test_kept_hashes_that_are_none_are_no_harm(content: bytes, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    expected = sha256_of(path)
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "hashes.json").write_bytes(content)
    assert sha256_of(path) == expected
