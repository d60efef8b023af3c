"""Options of a request, by real clients from a real service: what one server gives with options, another gives that was
started with them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from fake_engine import MOST_TOKENS, expected, vector_of, vector_of_view
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from serving import Serve, fake_config, ports_of

from bert_serving.client import AsyncBertClient, BadRequest, BertClient, ConcurrentBertClient, ModelMismatch, View
from bert_serving.client.errors import InvalidInputType, InvalidInputValue, RowFailed
from bert_serving.server import BertServer
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.wanted import PooledView

TEXTS = ["one text", "another", "a third one"]


def pooled(pooling: str = "REDUCE_MEAN", layers: Sequence[int] = (-2,), normalize: bool = False,
           dimensions: int | None = None) -> PooledView:  # fmt: skip
    return PooledView((PoolingStrategy[pooling],), tuple(layers), normalize, dimensions)


def made(texts: Sequence[str], *args: Any, **more: Any) -> Any:
    """What the fake engine makes of texts by one view that is not the server's own."""
    return np.stack([vector_of_view(text, pooled(*args, **more)) for text in texts])


@pytest.fixture(scope="module")
def server() -> Iterator[BertServer]:
    with BertServer(fake_config(num_worker=2, show_tokens_to_client=True)) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: BertServer) -> Iterator[BertClient]:
    with BertClient(**ports_of(server)) as connected:
        yield connected


def test_one_view_by_its_fields(client: BertClient) -> None:
    assert_array_equal(client.encode(TEXTS, pooling="REDUCE_MAX"), made(TEXTS, "REDUCE_MAX"))
    assert_array_equal(client.encode(TEXTS, layers=[-3, -4]), made(TEXTS, layers=[-3, -4]))
    assert_array_equal(client.encode(TEXTS, normalize=True), made(TEXTS, normalize=True))
    assert_array_equal(client.encode(TEXTS, dimensions=3, normalize=True), made(TEXTS, dimensions=3, normalize=True))
    assert_array_equal(client.encode(TEXTS, layers=[-2]), expected(TEXTS))  # the server's own


def test_several_views_are_a_list(client: BertClient) -> None:
    first, second, own = client.encode(TEXTS, views=[View("REDUCE_MAX"), View(dimensions=2), View()])
    assert_array_equal(first, made(TEXTS, "REDUCE_MAX"))
    assert_array_equal(second, made(TEXTS, dimensions=2))
    assert_array_equal(own, made(TEXTS))
    (alone,) = client.encode(TEXTS, views=[View("REDUCE_MAX")])
    assert_array_equal(alone, first)
    assert first.flags.c_contiguous


def test_vectors_of_tokens_beside_those_of_texts(client: BertClient) -> None:
    (found,) = client.encode(["ab", "abcd"], views=[View("NONE", [-3])])
    view = pooled("NONE", [-3])
    assert found.shape == (2, 25, 8)
    assert_array_equal(found[1, :4], np.repeat(vector_of_view("abcd", view)[None], 4, axis=0))
    assert_array_equal(found[0, 2:], np.zeros((23, 8)))


def test_as_nested_lists(server: BertServer) -> None:
    with BertClient(**ports_of(server), output_fmt="list") as client:
        views = client.encode(TEXTS, views=[View(dimensions=2), View(dimensions=1)])
        assert views == [made(TEXTS, dimensions=2).tolist(), made(TEXTS, dimensions=1).tolist()]


def test_prompts_and_pairs(client: BertClient) -> None:
    assert_array_equal(client.encode(TEXTS, prompt="query"), expected([f"query: {text}" for text in TEXTS]))
    assert_array_equal(client.encode(TEXTS, prompt="in short: "), expected([f"in short: {text}" for text in TEXTS]))
    pairs = [("a", "b"), ("c d", "e")]
    assert_array_equal(client.encode(pairs, is_pair=True), expected(["a b", "c d e"]))
    assert_array_equal(client.encode([list(pair) for pair in pairs], is_pair=True), expected(["a b", "c d e"]))


def test_chunks_are_averaged_by_their_tokens(client: BertClient) -> None:
    text = "w1 w2 w3 w4 w5 w6"
    parts, view = ["w1 w2 w3 w4", "w5 w6"], pooled(dimensions=4, normalize=True)
    found = client.encode([text, "short"], truncate="chunks", offsets=True, dimensions=4, normalize=True)
    vectors = np.stack([vector_of_view(part, view) for part in parts]).astype(np.float64)
    mean = np.average(vectors, axis=0, weights=[len(part) for part in parts])
    assert_allclose(found.embedding[0], mean / np.linalg.norm(mean), rtol=0, atol=1e-6)
    assert_array_equal(found.embedding[1], vector_of_view("short", view))
    assert found.chunks == [[[0, 11], [12, 17]], [[0, 5]]]
    assert found.tokens == [text.split(), ["short"]]


def test_too_long_a_text_fails_by_its_index(client: BertClient) -> None:
    long = "w " * (MOST_TOKENS + 1)
    with pytest.raises(RowFailed, match="text 1 could not be encoded: the text has more than") as caught:
        client.encode(["short", long], truncate="error")
    assert caught.value.index == 1
    assert_array_equal(client.encode(["short"], truncate="error"), expected(["short"]))


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"layers": [-1]}, "layers: the server keeps none above -2, so not -1: start it with -keep_layers"),
        ({"layers": [-5]}, "layers: the model's first layer is -4"),
        ({"pooling": "MEAN"}, "pooling must be one of"),
        ({"pooling": "LOGITS"}, "pooling: LOGITS needs a model with a classification head"),
        ({"dimensions": 9}, "dimensions: a vector has only 8, not 9"),
        ({"prompt": "qurey"}, "the model has no prompt 'qurey': it has query, passage"),
        ({"truncate": "second"}, "truncate 'second' cuts the second texts of pairs"),
        ({"views": [View("NONE"), View()]}, "views: NONE returns a vector for each token"),
    ],
    ids=str,
)
def test_what_the_model_cannot_do_reaches_no_worker(client: BertClient, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest) as caught:
        client.encode(TEXTS, **asked)
    assert says in str(caught.value)


def test_what_cannot_be_sent(client: BertClient) -> None:
    with pytest.raises(InvalidInputType, match=r"texts\[1\] must be a pair of str"):
        client.encode([("a", "b"), "c"], is_pair=True)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputValue, match="is_pair and is_tokenized cannot be combined"):
        client.encode([("a", "b")], is_pair=True, is_tokenized=True)
    with pytest.raises(InvalidInputValue, match="offsets come only from a blocking encode"):
        client.encode(TEXTS, blocking=False, offsets=True)
    with pytest.raises(InvalidInputValue, match="offsets come only from a blocking encode"):
        next(client.encode_stream(TEXTS, offsets=True))
    with pytest.raises(TypeError, match="unknown argument 'poling'"):
        client.encode(TEXTS, poling="NONE")  # type: ignore[call-overload]


def test_streams_and_what_is_fetched_later(client: BertClient) -> None:
    batches = list(client.encode_stream(TEXTS, batch_size=2, pooling="REDUCE_MAX"))
    assert_array_equal(np.concatenate([batch.embedding for batch in batches]), made(TEXTS, "REDUCE_MAX"))
    client.encode(TEXTS, blocking=False, layers=[-3])
    client.encode(TEXTS, blocking=False, views=[View(dimensions=2), View()])
    first, (second, own) = client.fetch_all()
    assert_array_equal(first, made(TEXTS, layers=[-3]))
    assert_array_equal(second, made(TEXTS, dimensions=2))
    assert_array_equal(own, made(TEXTS))
    (response,) = client.encode_async(iter([TEXTS]), dimensions=2)
    assert_array_equal(response.embedding, made(TEXTS, dimensions=2))
    assert_array_equal(client.encode(TEXTS, show_progress=True, dimensions=2), made(TEXTS, dimensions=2))


def test_other_clients(server: BertServer) -> None:
    async def ask() -> Any:
        async with AsyncBertClient(**ports_of(server)) as client:
            batches = [batch.embedding async for batch in client.encode_stream(TEXTS, dimensions=2)]
            return await client.encode(TEXTS, views=[View("REDUCE_MAX")]), np.concatenate(batches)

    (found,), streamed = asyncio.run(ask())
    assert_array_equal(found, made(TEXTS, "REDUCE_MAX"))
    assert_array_equal(streamed, made(TEXTS, dimensions=2))
    with ConcurrentBertClient(2, **ports_of(server)) as pool:
        assert_array_equal(pool.encode(TEXTS, dimensions=2), made(TEXTS, dimensions=2))
    here = f"127.0.0.1:{server.config.port}:{server.config.port_out}"
    with BertClient([here, "127.0.0.1:1:2"]) as several:
        (found,) = several.encode(TEXTS, views=[View("REDUCE_MAX")])
        assert_array_equal(found, made(TEXTS, "REDUCE_MAX"))


def test_the_fingerprint_is_that_of_a_server_started_so(server: BertServer, serve: Serve) -> None:
    other = serve(model_dir=server.config.model_dir, pooling_strategy="REDUCE_MAX")
    with BertClient(**ports_of(other)) as client:
        theirs = client.server_config["model"]["fingerprint"]
    with BertClient(**ports_of(server)) as client:
        ours = client.server_config["model"]["fingerprint"]
        assert ours != theirs
        client.expect_fingerprint = theirs
        assert_array_equal(client.encode(TEXTS, pooling="REDUCE_MAX"), made(TEXTS, "REDUCE_MAX"))
        with pytest.raises(ModelMismatch):
            client.encode(TEXTS)
        client.expect_fingerprint = ours
        assert_array_equal(client.encode(TEXTS, pooling="REDUCE_MAX"), made(TEXTS, "REDUCE_MAX"))
        assert_array_equal(client.encode(TEXTS), expected(TEXTS))


def test_rank_needs_a_head(client: BertClient) -> None:
    with pytest.raises(BadRequest, match="REGRESSION needs a model with a classification head"):
        client.rank("query", TEXTS)
    with pytest.raises(InvalidInputValue, match="the server's model has no labels"):
        client.classify(TEXTS)
    assert client.rank("query", []) == []


# -- any mix ----------------------------------------------------------------------------------------------------------

_VIEWS = st.builds(
    View,
    st.sampled_from([None, "REDUCE_MEAN", "REDUCE_MAX", "FIRST_TOKEN"]),
    st.one_of(st.none(), st.lists(st.sampled_from([-2, -3, -4]), min_size=1, max_size=3, unique=True)),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, 1, 5]),
)
_ASKED = st.fixed_dictionaries(
    {},
    optional={
        "views": st.lists(_VIEWS, min_size=1, max_size=3),
        "prompt": st.sampled_from(["query", "passage", "", "so: "]),
    },
)


def _wanted(asked: dict[str, Any], texts: list[str]) -> Any:
    prompt = {"query": "query: ", "passage": "passage: "}.get(asked.get("prompt", ""), asked.get("prompt", ""))
    texts = [prompt + text for text in texts]
    if "views" not in asked:
        return expected(texts)
    views = [
        pooled(view.pooling or "REDUCE_MEAN", view.layers or (-2,), bool(view.normalize), view.dimensions)
        for view in asked["views"]
    ]
    if views == [pooled()]:
        return [expected(texts)]
    return [np.stack([vector_of_view(text, view) for text in texts]) for view in views]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(_ASKED, st.integers(1, 40)), min_size=1, max_size=8))
def test_any_mix_of_options_over_any_mix_of_requests(
    client: BertClient, requests: list[tuple[dict[str, Any], int]]
) -> None:
    asked = [(each, [f"{number} {text}" for text in range(count)]) for number, (each, count) in enumerate(requests)]
    for each, texts in asked:
        client.encode(texts, blocking=False, **each)
    for (each, texts), found in zip(asked, client.fetch_all(), strict=True):
        wanted = _wanted(each, texts)
        for one, other in zip(found if isinstance(found, list) else [found],
                              wanted if isinstance(wanted, list) else [wanted], strict=True):  # fmt: skip
            assert_array_equal(one, other)


def test_nothing_is_mixed_when_a_worker_dies(serve: Serve) -> None:
    server = serve(num_worker=2)
    with BertClient(**ports_of(server)) as client:
        for number in range(40):
            client.encode([f"!slow 0.01 {number} {text}" for text in range(5)], blocking=False,
                          views=[View("REDUCE_MAX"), View(dimensions=number % 8 + 1)])  # fmt: skip
        with BertClient(**ports_of(server)) as other, pytest.raises(RowFailed):
            other.encode(["!die"])
        for number, (first, second) in enumerate(client.fetch_all()):
            texts = [f"!slow 0.01 {number} {text}" for text in range(5)]
            assert_array_equal(first, made(texts, "REDUCE_MAX"))
            assert_array_equal(second, made(texts, dimensions=number % 8 + 1))
    assert vector_of("a").shape == (8,)
