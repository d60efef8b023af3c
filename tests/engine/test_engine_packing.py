"""The list of tokens that a graph computes on."""

from __future__ import annotations

import numpy as np
import pytest

from bert_serving.server.engine.micro_batch import PADDING, VISIBLE
from bert_serving.server.engine.packing import Packed, listed
from bert_serving.server.engine.tensors import load_tensorflow


@pytest.mark.parametrize("lengths", [[0], [1], [7], [5, 3], [64], [32, 33], [40, 40], [100, 7, 31]])
def test_a_list_is_as_long_as_it_is_said_to_be(lengths: list[int]) -> None:
    tf = load_tensorflow()
    mask = np.full((len(lengths), max(1, max(lengths))), PADDING, np.int32)
    for row, length in enumerate(lengths):
        mask[row, :length] = VISIBLE
    assert Packed(tf.constant(mask)).positions.shape == [listed(sum(lengths))]
