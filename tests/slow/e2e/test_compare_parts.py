"""The parts of `make compare` that take seconds: all its texts, two commits side by side, other models, views, ranks.

Engines in process get no environments of their own here: torch and transformers are those of the slow tests.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from architectures import ARCHITECTURES, CASES
from environments import FOLDER, INFINITY, SENTENCE_TRANSFORMERS, TORCH, Missing, Peer
from folders import ROOT

from compare import contenders, rows_base, rows_engines, rows_http, rows_inside, rows_rank, texts
from compare.agreement import SAME_SCORES, SAME_VECTORS, apart, worst_cosine
from compare.commits import Commit
from compare.contenders import CHECKED_TEXTS
from compare.cross_encoder import write_cross_encoder
from compare.encoder import Encoder
from compare.processes import Contestant, Server, our_start
from compare.setup import Setup, Sizes

LIMIT = 64
"""Tokens of a text in the numbers of `tests/golden/architectures`."""

needs_torch = pytest.mark.skipif(not find_spec("torch") or not find_spec("transformers"), reason="no torch here")


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


def test_messages_of_two_commits_are_measured_side_by_side(tmp_path: Path) -> None:
    sizes = Sizes(messages=8, message_bulks=1, message_calls=1)
    setup = Setup(rounds=1, sizes=sizes, folder=tmp_path)
    setup.passages = ["one two three"] * sizes.messages
    commits = {side: Commit(side, ROOT) for side in rows_base.SIDES}
    found = rows_base.rows(setup, {12}, commits)
    assert [row.number for row in found] == ["12a", "12b", "12c", "12d"]
    for row in found:
        assert row.figures is not None
        assert [side.name for side in (row.figures.base, row.figures.ours, row.figures.again)] == list(rows_base.SIDES)
        assert all(value > 0 for side in (row.figures.base, row.figures.ours) for value in side.figures)
        assert len(row.figures.again.figures) == 1
        assert row.verdict is not None


@pytest.fixture
def torch_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only engine beside ours is torch, in this environment."""

    def python_of(peer: Peer) -> Path:
        return Path(sys.executable)

    monkeypatch.setattr(contenders, "python_of", python_of)
    monkeypatch.setattr(rows_engines, "KINDS", {TORCH: ("float32",)})


def tiny(folder: Path, family: str) -> Setup:
    """One small round with a tiny model; all the texts begin with those that its numbers are kept of."""
    setup = Setup(rounds=1, sizes=Sizes(bulk=CHECKED_TEXTS), folder=folder, model=ARCHITECTURES / family)
    setup.passages = CASES["texts"] * (CHECKED_TEXTS // len(CASES["texts"]) + 1)
    return setup


@needs_torch
@pytest.mark.parametrize("family", ["bert_unigram", "xlm_roberta", "mpnet", "modernbert"])
def test_engine_in_process_makes_the_inputs_of_every_family(family: str, tmp_path: Path, torch_here: None) -> None:
    setup = tiny(tmp_path, family)
    setup.encoder = Encoder(ARCHITECTURES / family, family, LIMIT)
    made, expected = tmp_path / "made.npy", tmp_path / "expected.npy"
    tokenizer = contenders.tokenizer_of(setup, TORCH, Path(sys.executable))
    padding = json.loads((ARCHITECTURES / family / "config.json").read_text("utf-8"))["pad_token_id"]
    assert json.loads(Path(tokenizer).read_text("utf-8"))["padding"]["pad_id"] == padding
    with Contestant(sys.executable, "peer_torch", tokenizer, setup.texts, str(setup.encoder.folder), "float32") as peer:
        peer.ask("bulk", kind="float32", start=0, stop=len(CASES["texts"]), step=1, save=str(made))
    with np.load(ARCHITECTURES / "vectors.npz") as numbers:
        np.save(expected, numbers[f"{family}/mean"])
    assert worst_cosine(made, expected) > 0.99999


@needs_torch
def test_engine_in_process_that_computes_something_else_is_missing(tmp_path: Path, torch_here: None) -> None:
    setup = tiny(tmp_path, "mpnet")
    reference = tmp_path / "reference.npy"
    for wrong, reason in (
        (-np.ones((CHECKED_TEXTS, 48)), "the worst cosine to our vectors is"),
        (np.ones((CHECKED_TEXTS, 8)), "stand beside"),
    ):
        np.save(reference, wrong.astype(np.float32))
        with ExitStack() as opened, pytest.raises(Missing, match=f"torch computes something else: .*{reason}"):
            contenders.start_peer(setup, opened, TORCH, ("float32",), reference)


@needs_torch
def test_bulk_of_another_model_beside_an_engine_in_process(tmp_path: Path, torch_here: None) -> None:
    setup = tiny(tmp_path, "mpnet")
    (row,) = rows_engines.rows(setup, {6})
    assert row.ours is not None
    assert row.other is not None
    assert row.other.name.startswith("torch float32")
    assert row.ratio is not None
    assert row.note == ""
    ((worst,),) = (figures for what, figures in setup.measured.items() if what.startswith("worst of"))
    assert worst > SAME_VECTORS


def test_views_are_measured_side_by_side(tmp_path: Path) -> None:
    rows = rows_inside.rows(tiny(tmp_path, "mpnet"), {13})
    assert [row.number for row in rows] == ["13a", "13b", "13c"]
    assert all(row.ratio and "times as long" in row.note for row in rows)


@needs_torch
def test_cross_encoder_ranks_as_transformers_scores(tmp_path: Path) -> None:
    transformers: Any = import_module("transformers")
    folder = write_cross_encoder(tmp_path / "cross-encoder")
    setup = Setup(rounds=1, sizes=Sizes(), folder=tmp_path)
    setup.passages = texts.passages()[: texts.DOCUMENTS]
    options = ("-cpu", "-model_dir", str(folder), "-max_seq_len", "512")
    with (
        Server(our_start(), *options) as server,
        Contestant(sys.executable, "load", str(server.port), str(server.port_out), setup.texts) as load,
    ):
        hits = load.ask("ranked", number=0)["hits"]
        assert load.ask("rank", calls=1)["mean_ms"] > 0
    query, documents = texts.ranking(setup.passages, 0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pairs = tokenizer([query] * len(documents), documents, truncation=True, padding=True, return_tensors="pt")
    scores = model(**pairs).logits.sigmoid()[:, 0].tolist()
    assert apart(hits, sorted(enumerate(scores), key=lambda hit: -hit[1])) <= SAME_SCORES
    assert max(scores) - min(scores) > 0.5  # so that the order says something


@pytest.mark.skipif(
    not (FOLDER / SENTENCE_TRANSFORMERS.name / "installed.txt").exists(), reason="`make compare` has not installed it"
)
def test_ranking_is_measured_beside_sentence_transformers(tmp_path: Path) -> None:
    setup = Setup(rounds=1, sizes=Sizes(rank_calls=1), folder=tmp_path)
    setup.passages = texts.passages()[: texts.DOCUMENTS]
    (row,) = rows_rank.rows(setup, {14})
    assert row.ratio is not None
    assert row.note.startswith("scores differ by at most")


def test_http_is_measured_beside_zeromq(tmp_path: Path) -> None:
    setup = Setup(rounds=1, sizes=Sizes(many_calls=1), folder=tmp_path)
    found = rows_http.rows(setup, {17})
    assert [row.number for row in found] == ["17a", "17b"]
    assert all(row.ratio for row in found)


@pytest.mark.skipif(
    not (FOLDER / INFINITY.name / "installed.txt").exists(), reason="`make compare` has not installed it"
)
def test_http_is_measured_beside_infinity(tmp_path: Path) -> None:
    setup = Setup(rounds=1, sizes=Sizes(many_calls=1), folder=tmp_path)
    found = rows_http.rows(setup, {16})
    assert [row.number for row in found] == ["16a", "16b"]
    assert all(row.ratio and "worst cosine" in row.note for row in found)
