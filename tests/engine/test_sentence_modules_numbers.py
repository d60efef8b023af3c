"""Folders of sentence-transformers: vectors as that library computes them, with and without prompts.

`tests/golden/architectures` has the folders and the numbers. The ids come from the package `tokenizers`, not from ours.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.graph import build_graph
from bert_serving.server.engine.micro_batch import collate, common_shape
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.engine.pooling import extent_of
from bert_serving.server.engine.sentence_folder import with_folder_defaults
from bert_serving.server.engine.session import GraphSession
from bert_serving.server.engine.weights import load_weights

FOLDER = Path(__file__).parents[1] / "golden" / "architectures"
CASES = json.loads((FOLDER / "cases.json").read_text())["models"]
NUMBERS = np.load(FOLDER / "vectors.npz")
FOLDERS = sorted(name for name in CASES if name.startswith("st_"))

Run = Callable[[list[Row]], Any]


@lru_cache(maxsize=4)
def runner(folder: Path, **options: Any) -> Run:
    """Vectors of rows, by a graph of that folder, which sets its own options."""
    given = ServerConfig.from_mapping({"model_dir": str(folder), "cpu": True, **options})
    model = find_model(given)
    config = with_folder_defaults(given, model)
    extent = extent_of(config, model.shape)
    session = GraphSession(build_graph(config, model.shape, load_weights(model, extent), config.dtype), config)

    def run(rows: list[Row]) -> Any:
        shape = common_shape(len(rows), max(row.length for row in rows), model.shape.positions)
        return session.run(collate(rows, shape=shape))[: len(rows)]

    return run


def tokenizer_of(folder: str) -> Any:
    tokenizer = Tokenizer.from_file(str(FOLDER / folder / "tokenizer.json"))
    settings = json.loads((FOLDER / folder / "tokenizer_config.json").read_text())
    tokenizer.enable_truncation(settings["model_max_length"])
    return tokenizer


def rows_of(folder: str) -> list[Row]:
    tokenizer = tokenizer_of(folder)
    every = [tokenizer.encode(text).ids for text in CASES[folder]["texts"]]
    return [Row(ids, len(ids), (0, len(ids) - 1)) for ids in every]


@pytest.mark.parametrize("xla", [False, True], ids=["packed", "xla"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_vectors_of_the_library(folder: str, xla: bool) -> None:
    found = runner(FOLDER / folder, xla=xla)(rows_of(folder))
    np.testing.assert_allclose(found, NUMBERS[f"{folder}/plain"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_text_has_its_vector_in_any_micro_batch(folder: str) -> None:
    rows, right = rows_of(folder), NUMBERS[f"{folder}/plain"]
    chance = random.Random(folder)
    for size in (1, 3, 5 * len(rows)):
        places = chance.choices(range(len(rows)), k=size)
        found = runner(FOLDER / folder)([rows[place] for place in places])
        np.testing.assert_allclose(found, right[places], rtol=0, atol=2e-5)


PROMPTS = [(folder, prompt) for folder in FOLDERS for prompt in CASES[folder]["prompts"]]


def prompted_rows(folder: str, name: str) -> list[Row]:
    """Rows as the library makes them: it counts a prompt's tokens by themselves, without the special one at the end."""
    tokenizer = tokenizer_of(folder)
    prompt = json.loads((FOLDER / folder / "config_sentence_transformers.json").read_text())["prompts"][name]
    included = json.loads((FOLDER / folder / "1_Pooling" / "config.json").read_text())["include_prompt"]
    left_out = 0 if included else len(tokenizer.encode(prompt).ids) - 1
    every = [tokenizer.encode(prompt + text).ids for text in CASES[folder]["texts"]]
    return [Row(ids, len(ids), (0, len(ids) - 1), prompt=left_out) for ids in every]


@pytest.mark.parametrize("xla", [False, True], ids=["packed", "xla"])
@pytest.mark.parametrize(("folder", "prompt"), PROMPTS)
def test_vectors_with_a_prompt(folder: str, prompt: str, xla: bool) -> None:
    found = runner(FOLDER / folder, xla=xla)(prompted_rows(folder, prompt))
    np.testing.assert_allclose(found, NUMBERS[f"{folder}/{prompt}"], rtol=0, atol=2e-5)


def test_texts_with_and_without_a_prompt_share_a_micro_batch() -> None:
    folder = "st_prompts_excluded"
    rows = [*rows_of(folder), *prompted_rows(folder, "query")]
    right = np.concatenate([NUMBERS[f"{folder}/plain"], NUMBERS[f"{folder}/query"]])
    places = random.Random(17).sample(range(len(rows)), k=len(rows))
    found = runner(FOLDER / folder)([rows[place] for place in places])
    np.testing.assert_allclose(found, right[places], rtol=0, atol=2e-5)
