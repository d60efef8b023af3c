"""Real models beside `transformers`: all-mpnet-base-v2, the tokenizer of XLM-R. Skipped without `make models`."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from architectures import row_of, tokenizer_of
from fetch_models import MPNET, XLM_R
from minilm import MINILM_TEXTS

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.verify import hugging_face
from bert_serving.server.verify.hugging_face import TransformersEncoder
from bert_serving.server.verify.reference import reference_vectors

ODD_TEXTS = [
    "naïve café, Ångström, ﬁne ﬂow ①②③ ｆｕｌｌｗｉｄｔｈ ㍿",
    "e\u0301 a\u030a\u0323 \u200bzero\u200dwidth\ufeff \u00a0no-break\u3000wide",
    "日本語と中文和한국어, ไทย, العربية, עברית, हिन्दी, தமிழ்",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 \U0001f600",
    "<s> written </s> out, a <mask> and <unk>",
    "line\nbreaks\tand\rmore  blanks   ",
    "x" * 400,
    "a" + "\u0301" * 60,
    "https://example.org/a?b=c&d=%20#e user@example.org 3.14e-10 1,000,000",
    "",
]

needs_model = pytest.mark.skipif(not MPNET.is_dir(), reason="all-mpnet-base-v2 is not there: make models")


@needs_model
@pytest.mark.skipif(not hugging_face.is_installed(), reason="transformers is not installed")
def test_mpnet_gives_the_vectors_of_the_library() -> None:
    config = tensorflow_engine.resolve(ServerConfig.from_mapping({"model_dir": str(MPNET), "cpu": True}))
    assert (config.max_seq_len, config.normalize, config.pooling_layer) == (384, True, (-1,))
    long_texts = [" ".join(MINILM_TEXTS[:40]), "word " * 900]
    texts = [*MINILM_TEXTS, *long_texts]
    engine = tensorflow_engine.load(config, tensorflow_engine.prepare(config, lambda text: None), 1, lambda text: None)
    rows = [row for row in engine.features(texts) if isinstance(row, Row)]
    assert [row.truncated for row in rows[-2:]] == [True, True]
    by_length = sorted(range(len(rows)), key=lambda place: rows[place].length)
    found = np.zeros((len(rows), 768))
    for begin in range(0, len(rows), 32):
        places = by_length[begin : begin + 32]
        found[places] = engine.run([rows[place] for place in places])
    engine.close()
    expected = np.array(reference_vectors(config, TransformersEncoder(config, find_model(config)), texts))
    cosines = (found * expected).sum(axis=1)
    assert cosines.min() > 0.99999
    assert np.abs(found - expected).max() < 2e-5


@pytest.mark.skipif(not XLM_R.is_dir(), reason="the tokenizer of XLM-R is not there: make models")
@pytest.mark.skipif(not hugging_face.is_installed(), reason="transformers is not installed")
@pytest.mark.parametrize("limit", [8, 32, 512])
def test_xlm_r_cuts_as_the_library_does(tmp_path: Path, limit: int) -> None:
    fast: Any = import_module("transformers").PreTrainedTokenizerFast
    (tmp_path / "tokenizer.json").symlink_to(XLM_R / "tokenizer.json")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "xlm-roberta", "vocab_size": 250_037}))
    ours = tokenizer_of(tmp_path)
    library = fast(tokenizer_file=str(XLM_R / "tokenizer.json"))
    long_texts = [" ".join(MINILM_TEXTS), "".join(MINILM_TEXTS).replace(" ", ""), "word " * 900]
    for text in [*MINILM_TEXTS, *ODD_TEXTS, *long_texts]:
        assert row_of(ours, text, limit).ids == library(text, truncation=True, max_length=limit)["input_ids"], text
