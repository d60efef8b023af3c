"""The products and the softmax of attention by ops that are private to TensorFlow, and what happens without these."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import pytest
from model_fixtures import Load

from bert_serving.server.engine import attention_ops
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.tensors import load_tensorflow

AVX2, AVX512 = ["fma", "avx2"], ["fma", "avx2", "avx512f"]
TEXTS = [
    "the cat sat on the mat while rain fell over green hills " * 2,
    "a dog",
    "the cat and a dog looked at rain",
] * 5


on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="TensorFlow has these ops for x86 alone")


def chosen(monkeypatch: pytest.MonkeyPatch, flags: list[str], **more: Any) -> bool:
    """Whether the private ops are taken on a CPU with these features."""
    monkeypatch.setattr(attention_ops, "cpu_flags", lambda: flags)
    tf = load_tensorflow()
    asked = {"dtype": tf.float32, "wanted": True, **more}
    return attention_ops.choose_attention_ops(asked["dtype"], wanted=asked["wanted"]) is attention_ops._ONEDNN


@on_x86
def test_they_are_for_float32_on_cpus_without_avx512(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, AVX2)
    assert not chosen(monkeypatch, AVX512)
    assert not chosen(monkeypatch, [])
    assert not chosen(monkeypatch, AVX2, wanted=False)
    assert not chosen(monkeypatch, AVX2, dtype=load_tensorflow().bfloat16)


@pytest.mark.parametrize("name", ["PRODUCT_OP", "SOFTMAX_OP"])
def test_a_tensorflow_without_them(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(attention_ops, name, "_NoSuchOp")
    assert not chosen(monkeypatch, AVX2)


def test_ops_that_are_wrong_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_ops, "_softmax", lambda x: 1.001 * load_tensorflow().nn.softmax(x))
    assert not chosen(monkeypatch, AVX2)


@on_x86
@pytest.mark.parametrize("options", [{}, {"pooling_strategy": "NONE"}, {"pooling_layer": [-1]}], ids=str)
def test_vectors_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
    load_engine: Load,
    options: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    found = []
    for number, flags in enumerate((AVX2, AVX512)):
        monkeypatch.setattr(attention_ops, "cpu_flags", lambda flags=flags: flags)
        monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")  # no graph of the other ones
        engine = load_engine(**options, graph_tmp_dir=str(tmp_path_factory.mktemp(f"graph{number}")))
        graph = engine._session._session.graph
        kinds = {op.type for op in graph.get_operations()}
        assert ({attention_ops.PRODUCT_OP, attention_ops.SOFTMAX_OP} <= kinds) == (flags is AVX2)
        found.append(engine.run([row for row in engine.features(TEXTS) if isinstance(row, Row)]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
