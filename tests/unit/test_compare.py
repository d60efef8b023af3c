"""The parts of `make compare` that compute nothing heavy: texts, ratios, the table, names of weights, its protocol."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bert_serving.server.engine import contract
from bert_serving.server.worker import CPU_BATCH_TOKENS
from compare import texts
from compare.checkpoint import BERT_BASE, MINILM, Size, google_name, shapes
from compare.contenders import worst_cosine
from compare.environments import Missing
from compare.matrix_products import flops
from compare.noop_engine import DIM, NoopEngine
from compare.own_engine import micro_batches
from compare.peer import mean, padded
from compare.processes import Contestant, Server, environment
from compare.run import TITLES
from compare.table import PeerResult, Report, Row, Side, chosen_rows, fastest


def test_texts_are_many_of_mixed_length_and_always_the_same() -> None:
    found = texts.passages()
    counts = texts.word_counts(found)
    assert len(found) == len(set(found)) >= texts.LEAST
    assert 12 <= counts["p50"] <= 25
    assert counts["p90"] >= 55
    assert found == texts.passages()


def test_texts_without_fortunes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(texts, "FORTUNES", tmp_path)
    assert len(texts.passages()) >= texts.LEAST
    assert texts.source() == "Python's own documentation strings"


def test_sentences_are_the_short_texts() -> None:
    assert texts.sentences(["one two", "word " * 21]) == ["one two"]


def test_ratio_is_that_of_the_medians_and_above_one_is_better() -> None:
    more = Row("1", "rate", "texts/s", Side("ours", (10, 30, 20)), Side("1.10", (10, 5, 10)))
    less = Row("5", "time", "ms", Side("ours", (1, 2, 3)), Side("1.10", (4, 8, 3)), less_is_better=True)
    assert (more.ratio, more.spread) == (2, (1, 6))
    assert (less.ratio, less.spread) == (2, (1, 4))


def test_row_without_figures_says_why() -> None:
    report = Report({"rounds": 3}, [Row("2", "bulk", note="no | such\n  CPU")])
    assert report.rows[0].ratio is None
    assert "| 2 | bulk | | | - | | no / such CPU |" in report.as_markdown()


def test_row_with_one_side_shows_its_median() -> None:
    row = Row("12a", "messages", "us a text", Side("ours", (3, 1, 2)))
    assert "| 12a | messages | 2 us a text | | | | |" in " ".join(Report({}, [row]).as_markdown().split())
    assert (row.ratio, row.spread) == (None, None)


def test_report_holds_every_round_and_the_peers() -> None:
    row = Row("1", "bulk", "texts/s", Side("ours", (2, 4)), Side("1.10", (1, 1)))
    report = Report({"rounds": 2}, [row], [PeerResult("int8", Side("int8", (5, 7)), 0.99361901)])
    assert report.as_json()["rows"][0]["ours"]["figures"] == (2, 4)
    assert report.as_json()["rows"][0]["ratio"] == 3
    assert "| int8 | 6 | 0.993619 |" in report.as_markdown()
    assert "* rounds: 2" in report.as_markdown()


def test_fastest_goes_by_the_median() -> None:
    assert fastest([Side("steady", (5, 5, 5)), Side("lucky", (4, 4, 99))]).name == "steady"


def test_chosen_rows() -> None:
    assert chosen_rows("", TITLES) == set(range(1, 13))
    assert chosen_rows("1, 3-5,12", TITLES) == {1, 3, 4, 5, 12}
    for wrong in ("13", "0-2", "one"):
        with pytest.raises(ValueError, match=r"no row|invalid literal"):
            chosen_rows(wrong, TITLES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("embeddings.word_embeddings.weight", "bert/embeddings/word_embeddings"),
        ("embeddings.LayerNorm.bias", "bert/embeddings/LayerNorm/beta"),
        ("encoder.layer.11.attention.self.query.weight", "bert/encoder/layer_11/attention/self/query/kernel"),
        ("encoder.layer.0.output.LayerNorm.weight", "bert/encoder/layer_0/output/LayerNorm/gamma"),
        ("pooler.dense.bias", "bert/pooler/dense/bias"),
    ],
)
def test_names_of_weights(name: str, expected: str) -> None:
    assert google_name(name) == expected
    assert expected in dict(shapes(BERT_BASE, 30522))


def test_number_of_weights_is_that_of_the_models() -> None:
    def parameters(size: Size) -> int:
        return sum(int(np.prod(shape)) for _, shape in shapes(size, 30522))

    assert parameters(BERT_BASE) == 109_482_240  # as Google counts them: "110M"
    assert parameters(MINILM) == 22_713_216


def test_flops_of_one_token_and_one_layer() -> None:
    products = [(3 * 4, 4), (4, 4), (8, 4), (4, 8)]  # qkv, attention, intermediate, output
    expected = sum(2 * outputs * inputs for outputs, inputs in products) + 2 * 2 * 4  # and two dot products of 4
    assert flops(Size(4, 1, 2, 8), rows=1, tokens=1) == expected
    assert flops(Size(4, 3, 2, 8), rows=5, tokens=1) == 15 * expected


def test_micro_batches_are_sorted_full_and_complete() -> None:
    lengths = [3, 128, 40, 5, 127, 60] * 20
    rows = [contract.Row([0] * length, length, ()) for length in lengths]
    batches = micro_batches(rows)
    assert sorted(position for batch in batches for position in batch) == list(range(len(rows)))
    assert all(lengths[batch[0]] * len(batch) <= CPU_BATCH_TOKENS for batch in batches)
    in_turn = [lengths[position] for batch in batches for position in batch]
    assert in_turn == sorted(in_turn, reverse=True)


def test_peers_pool_the_mean_without_padding() -> None:
    ids, mask = padded([[7, 8, 9], [5]])
    assert ids.tolist() == [[7, 8, 9], [5, 0, 0]]
    layer = np.repeat(ids[..., None], 2, axis=2).astype(np.float32) + 100 * (mask[..., None] == 0)
    assert mean(layer.astype(np.float32), mask).tolist() == [[8, 8], [5, 5]]


def test_worst_cosine_is_that_of_the_worst_text(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 0], [3, 4]], np.float32))
    np.save(tmp_path / "b.npy", np.array([[2, 0], [3, 0]], np.float32))
    assert worst_cosine(tmp_path / "a.npy", tmp_path / "b.npy") == pytest.approx(0.6)


def test_noop_engine_gives_a_vector_for_each_text() -> None:
    engine: contract.Engine = NoopEngine(lanes=2)
    rows = [row for row in engine.features(["one two", "three"]) if isinstance(row, contract.Row)]
    assert [row.length for row in rows] == [2, 1]
    vectors = engine.run(rows)
    assert isinstance(vectors, np.ndarray)
    assert vectors.shape == (2, DIM)


def test_contestant_that_does_not_start_is_missing() -> None:
    with pytest.raises(Missing, match="No module named"), Contestant(sys.executable, "no_such"):
        pass


def test_server_that_does_not_start_is_missing() -> None:
    with pytest.raises(Missing, match="out of service"), Server([sys.executable, "-c", "exit('out of service')"]):
        pass


def test_protocol_answers_in_turn_whatever_a_library_prints() -> None:
    code = "from compare.protocol import serve; serve({'double': lambda x: print('noise') or {'twice': 2 * x}})"
    asked = '{"do": "double", "x": 4}\n{"do": "double"}\n'
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, env=environment(), timeout=60)
    ready, answer, error = done.stdout.splitlines()
    assert (ready, answer) == ('{"ready": true}', '{"twice": 8}')
    assert "TypeError" in error
