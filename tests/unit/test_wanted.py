"""What a request may want of a model, and how it is told what the model cannot do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bert_serving.client.errors import BadRequest
from bert_serving.client.options import NO_OPTIONS, Options
from bert_serving.client.views import View
from bert_serving.server.config import ModelFacts, ServerConfig
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.wanted import PooledView, TextOptions, Wanted, row_bytes, wanted_of, width_of

FACTS = ModelFacts(layers=12, kept_layers=11, hidden=10)
CONFIG = ServerConfig(
    model_dir="M", facts=FACTS, vector_bytes=40, max_positions=64, prompts=(("query", "query: "), ("plain", ""))
)
MEAN, MAX = PoolingStrategy.REDUCE_MEAN, PoolingStrategy.REDUCE_MAX


def config(facts: dict[str, Any] | None = None, **options: Any) -> ServerConfig:
    return replace(CONFIG, facts=replace(FACTS, **(facts or {})), **options)


def views(*each: View, of: ServerConfig = CONFIG) -> tuple[PooledView, ...]:
    return wanted_of(of, Options(views=each)).views


def test_what_is_not_said_is_as_the_server_was_started() -> None:
    started = config(pooling_strategy=MAX, pooling_layer=(-3, -2), normalize=True, prompt="query")
    plain = Wanted((PooledView((MAX,), (-3, -2), True),), TextOptions("query: "))
    assert wanted_of(started, NO_OPTIONS) == wanted_of(started, Options(timeout_ms=5)) == plain
    assert wanted_of(started, Options(views=(View(),))) == plain
    assert views(View(layers=[-4]), of=started) == (PooledView((MAX,), (-4,), True),)
    assert views(View(normalize=False), of=started) == (PooledView((MAX,), (-3, -2), False),)


def test_what_only_a_folder_asks_for_is_for_the_vectors_of_texts() -> None:
    by_folder = config(normalize=True, pooled_beside=(MAX,))
    assert views(View(), of=by_folder) == (PooledView((MEAN, MAX), (-2,), True),)
    assert views(View("REDUCE_MEAN"), of=by_folder) == (PooledView((MEAN,), (-2,), True),)
    assert views(View("NONE"), of=by_folder)[0].normalize is False
    assert views(View("NONE"), of=replace(by_folder, given=frozenset(["normalize"])))[0].normalize is True
    assert views(View("LOGITS"), of=config({"labels": 3}, normalize=True))[0].normalize is False
    for_tokens = config({"normalizes": True}, pooling_strategy=PoolingStrategy.NONE)
    assert views(View(), of=for_tokens)[0].normalize is False
    assert views(View("REDUCE_MEAN"), of=for_tokens)[0].normalize is True
    assert views(View("REDUCE_MEAN", normalize=False), of=for_tokens)[0].normalize is False


@pytest.mark.parametrize(
    ("view", "facts", "says"),
    [
        (View("MEAN"), {}, "pooling must be one of NONE, REDUCE_MAX, .* not 'MEAN'"),
        (View(layers=[-1]), {}, "layers: the server keeps none above -2, so not -1: start it with -keep_layers"),
        (View(layers=[-2, -13]), {}, "layers: the model's first layer is -12, so there is no -13"),
        (View("CLS_POOLED"), {}, "pooling: the server keeps no pooler for CLS_POOLED: start it with -keep_layers"),
        (View("CLS_POOLED", [-2]), {"pooler": True}, "layers: CLS_POOLED always uses the last layer"),
        (View("REGRESSION"), {}, "pooling: REGRESSION needs a model with a classification head"),
        (View("REGRESSION"), {"labels": 3}, "pooling: REGRESSION is for a single label, but the model has 3"),
        (View("CLASSIFICATION"), {"labels": 1}, "pooling: CLASSIFICATION gives 1 .* use REGRESSION"),
        (View("LOGITS", normalize=True), {"labels": 3}, "normalize: LOGITS returns a score for each label"),
        (View("LOGITS", dimensions=2), {"labels": 3}, "dimensions: LOGITS returns a score for each label"),
        (View(dimensions=11), {}, "dimensions: a vector has only 10, not 11"),
        (View("REDUCE_MEAN_MAX", [-2, -3], dimensions=41), {}, "dimensions: a vector has only 40, not 41"),
        (View(layers=[-2, -3]), {"dense": (10, 4)}, "views: .* makes 20 numbers, but the next layer .* takes 10"),
        (View(dimensions=5), {"dense": (10, 4)}, "dimensions: a vector has only 4, not 5"),
        (View(), {"layers": 0}, "views: this server's engine returns only the vectors"),
    ],
    ids=str,
)
def test_what_the_model_cannot_do_is_named(view: View, facts: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        views(view, of=config(facts))


def test_vectors_of_tokens_stand_beside_none_of_texts() -> None:
    with pytest.raises(BadRequest, match="views: NONE returns a vector for each token"):
        views(View("NONE"), View())
    assert len(views(View("NONE"), View("NONE", [-5]))) == 2


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("query", "query: "),
        ("plain", ""),
        ("", ""),
        ("Instruct: ", "Instruct: "),
        ("\u4e3a\u8fd9\u4e2a", "\u4e3a\u8fd9\u4e2a"),
    ],
)
def test_a_prompt_is_a_name_or_a_text(asked: str, text: str) -> None:
    assert wanted_of(CONFIG, Options(prompt=asked)).texts.prompt == text


@pytest.mark.parametrize("asked", ["qurey", "Query", "passage", "s2p_query", "a-b.c"])
def test_a_prompt_that_the_model_lacks(asked: str) -> None:
    with pytest.raises(
        BadRequest, match=f"the model has no prompt '{asked}': it has query, plain; a prompt given as a text"
    ):
        wanted_of(CONFIG, Options(prompt=asked))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(truncate="chunks", views=(View("NONE"),)), "truncate 'chunks' averages vectors"),
        (Options(truncate="chunks", is_pair=True), "truncate 'chunks' is for single texts"),
        (Options(truncate="left", is_pair=True), "truncate 'left' is for single texts"),
        (Options(truncate="second"), "truncate 'second' cuts the second texts of pairs"),
    ],
    ids=range(4),
)
def test_ways_to_cut_that_make_no_sense(options: Options, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        wanted_of(CONFIG, options)


@pytest.mark.parametrize(
    ("view", "facts", "width"),
    [
        (View(), {}, 10),
        (View("REDUCE_MEAN_MAX", [-2, -3]), {}, 40),
        (View(dimensions=4), {}, 4),
        (View("CLS_POOLED"), {"pooler": True, "kept_layers": 12}, 10),
        (View("LOGITS"), {"labels": 3}, 3),
        (View("REGRESSION"), {"labels": 1}, 1),
        (View(), {"dense": (10, 6)}, 6),
        (View("NONE"), {"dense": (10, 6)}, 10),
        (View(dimensions=2), {"dense": (10, 6)}, 2),
    ],
    ids=str,
)
def test_the_width_of_a_view(view: View, facts: dict[str, Any], width: int) -> None:
    of = config(facts)
    assert width_of(of, *views(view, of=of)) == width


def test_what_an_answer_takes() -> None:
    def size(*each: View, **options: Any) -> int:
        return row_bytes(CONFIG, Options(views=each or None, **options), 6)

    assert size() == size(View()) == 40
    assert size(View(), View(dimensions=3)) == 52
    assert size(View("NONE")) == 25 * 40
    assert row_bytes(replace(CONFIG, max_seq_len=None), Options(views=(View("NONE"),), prompt="a: "), 6) == 11 * 40
    with pytest.raises(BadRequest):
        size(View(layers=[-1]))
