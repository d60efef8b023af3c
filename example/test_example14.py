"""A server as a pytest fixture: started once, on free ports, for all tests that use it.

    BERT_MODEL_DIR=/models/all-MiniLM-L6-v2 pytest example/test_example14.py

Without BERT_MODEL_DIR, the tests are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from example14_server import running_server

from bert_serving.client import BertClient


@pytest.fixture(scope="session")
def bc() -> Iterator[BertClient]:
    """A client of a real server."""
    model_dir = os.environ.get("BERT_MODEL_DIR")
    if not model_dir:
        pytest.skip("BERT_MODEL_DIR must be the folder of a BERT model")
    with running_server(model_dir) as client:
        yield client


def test_equal_texts_have_equal_vectors(bc: BertClient) -> None:
    first, _, again = bc.encode(["good day", "whats up?", "good day"])
    np.testing.assert_allclose(first, again, rtol=0, atol=1e-5)


def test_a_vector_does_not_depend_on_the_other_texts(bc: BertClient) -> None:
    alone, among_others = bc.encode(["good day"])[0], bc.encode(["hey you", "good day", "it " * 20])[1]
    np.testing.assert_allclose(alone, among_others, rtol=0, atol=1e-5)
