"""The real all-mpnet-base-v2 beside the library `transformers`; skipped without `make models`."""

from __future__ import annotations

import numpy as np
import pytest
from fetch_models import MPNET
from minilm import MINILM_TEXTS

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import tensorflow_engine
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.model_folder import find_model
from bert_serving.server.verify import hugging_face
from bert_serving.server.verify.hugging_face import TransformersEncoder
from bert_serving.server.verify.reference import reference_vectors

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
