"""What the gateway may hold, decided without a socket: bytes of bodies and answers, values in JSON, requests."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np
import orjson
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_serving.client.wire import RowsReply
from bert_serving.server.gateway import backend as backend_module
from bert_serving.server.gateway import guard, parsing, writing
from bert_serving.server.gateway.held import LEAST_BYTES_A_SECOND, PATIENCE_S, UNCOUNTED_BYTES, Answers, Bodies, Body
from bert_serving.server.gateway.parsing import MOST_ELEMENTS, count_elements, parsed
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.schemas import EncodeBody
from bert_serving.server.gateway.slots import WAITING_PER_SLOT, Slots

MB = 1 << 20


# -- bytes that are held: the decision --------------------------------------------------------------------------------


def body(given_up: list[int], number: int = 0, begun_s: float = 0.0) -> Body:
    return Body(begun_s, lambda: given_up.append(number))


def test_a_body_has_its_room_before_it_comes() -> None:
    bodies = Bodies(10 * MB)
    first, second = body([]), body([])
    assert bodies.hold(first, 8 * MB, now_s=0)
    assert not bodies.hold(second, 3 * MB, now_s=0)
    assert bodies.hold(second, 2 * MB, now_s=0)
    bodies.release(first)
    bodies.release(first)
    assert bodies.held == 2 * MB
    assert bodies.hold(second, 10 * MB, now_s=0)


def test_small_ones_are_always_taken() -> None:
    bodies = Bodies(1 * MB)
    assert bodies.hold(body([]), MB, now_s=0)
    assert bodies.hold(body([]), UNCOUNTED_BYTES, now_s=0)
    assert not bodies.hold(body([]), UNCOUNTED_BYTES + 1, now_s=0)


def test_who_is_slow_makes_room_and_nobody_else_does() -> None:
    given_up: list[int] = []
    bodies = Bodies(4 * MB)
    whole, fast, slow, newer = (body(given_up, number) for number in range(4))
    for one in (whole, fast, slow, newer):
        assert bodies.hold(one, MB, now_s=0)
    whole.is_whole = True
    now_s = PATIENCE_S + 1
    fast.received = 2 * LEAST_BYTES_A_SECOND
    newer.begun_s = now_s
    assert not bodies.hold(body([]), 2 * MB, now_s)  # in vain nobody is given up
    assert given_up == []
    assert bodies.hold(body([]), MB, now_s)
    assert given_up == [2]
    assert bodies.held == 4 * MB


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4 * MB), st.sampled_from(["hold", "release", "whole"]))))
@settings(max_examples=200)
def test_no_more_is_held_than_may_be(steps: list[tuple[int, int, str]]) -> None:
    bodies = Bodies(8 * MB)
    some = [body([]) for _ in range(6)]
    for now_s, (number, size, what) in enumerate(steps):
        if what == "hold":
            bodies.hold(some[number], size, now_s)
        elif what == "release":
            bodies.release(some[number])
        else:
            some[number].is_whole = True
        assert bodies.held == sum(one.size for one in some) <= 8 * MB
    for one in some:
        bodies.release(one)
    assert bodies.held == 0


def test_a_body_that_finds_no_room_is_not_read() -> None:
    async def check() -> None:
        async def receive() -> Any:
            raise AssertionError("it was read")

        bodies = Bodies(MB)
        assert bodies.hold(body([], begun_s=time.monotonic()), MB, time.monotonic())
        with pytest.raises(Problem) as caught:
            await guard.Bounded(receive, 16 * MB, bodies, promised=MB)()
        assert (caught.value.status, caught.value.retry_after_s) == (429, guard.ROOM_RETRY_S)

    asyncio.run(check())


# -- what JSON holds --------------------------------------------------------------------------------------------------

SIMPLE = st.recursive(
    st.text(alphabet='a,[{"\\]}:\n\u00e9') | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(st.lists(SIMPLE, max_size=20), st.integers(1, 7))
@settings(max_examples=300)
def test_what_stands_in_texts_does_not_count(content: list[Any], slice_bytes: int) -> None:
    def expected(value: Any) -> int:
        if not isinstance(value, (list, dict)):
            return 0
        inner = list(value.values()) if isinstance(value, dict) else value
        return 1 + max(0, len(inner) - 1) + sum(map(expected, inner))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "SLICE_BYTES", slice_bytes)
        assert sum(parsing._counts_outside_texts(json.dumps(content).encode())) == expected(content)


def test_a_text_may_have_any_number_of_commas_and_a_list_may_not() -> None:
    assert count_elements(b'{"texts":["%s"]}' % (b",[" * MOST_ELEMENTS)) == 2
    assert parsed(bytearray(b'{"texts":["%s"]}' % (b"," * 2 * MOST_ELEMENTS)), EncodeBody).texts
    with pytest.raises(Problem, match="may hold 500000") as caught:
        parsed(bytearray(b'{"texts":[%s[]]}' % (b"[]," * MOST_ELEMENTS)), EncodeBody)
    assert caught.value.status == 413


MOST_COSTLY = [
    pytest.param(b'"ab",', id="texts"),
    pytest.param(b"[],", id="lists"),
    pytest.param(b"{},", id="objects"),
    pytest.param(b'["ab"],', id="lists of texts"),
    pytest.param(b"[70000],", id="lists of ids"),
    pytest.param(b"1.5,", id="numbers"),
    pytest.param(b'{"a":[]},', id="objects of lists"),
    pytest.param('"\U0001f600",'.encode(), id="wide texts"),
]


@pytest.mark.parametrize("item", MOST_COSTLY)
def test_what_is_parsed_takes_three_times_its_bytes_and_64_mb(item: bytes) -> None:
    number = MOST_ELEMENTS // max(1, count_elements(item))
    content = bytearray(b'{"texts":[%s""]}' % (item * (number - 8)))
    size = len(content)
    process = psutil.Process()
    before = process.memory_info().rss
    kept = parsed(content, EncodeBody)
    assert kept.texts
    assert process.memory_info().rss - before < 3 * size + 64 * MB


@pytest.mark.parametrize("nesting", [b"[", b'{"a":', b'{"texts":['])
def test_depth_is_no_json(nesting: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parsed(bytearray(nesting * 100_000), EncodeBody)
    assert caught.value.status == 400


# -- answers ----------------------------------------------------------------------------------------------------------


async def read_all(response: Any) -> tuple[list[bytes], dict[str, str]]:
    pieces: list[bytes] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            pieces.append(message["body"])

    await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    return pieces, dict(response.headers)


@pytest.mark.parametrize("shape", [(1, 3), (7, 3), (4000, 64), (50, 20, 300), (2, 1)])
async def test_an_answer_in_pieces_is_the_same(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape, np.float32)
    tokens = [["a"]] * len(array)
    reply = RowsReply(b"me", 7, array, tokens, [0], 3)
    pieces, headers = await read_all(writing.as_octets(array))
    np.testing.assert_array_equal(np.frombuffer(b"".join(pieces), "<f4").reshape(shape), array)
    assert headers["content-length"] == str(array.nbytes)
    assert headers["x-shape"] == ",".join(map(str, shape))
    pieces, _ = await read_all(writing.as_results(reply, "id", show_tokens=True))
    found = orjson.loads(b"".join(pieces))
    np.testing.assert_array_equal(np.array(found.pop("results"), np.float32), array)
    assert found == {"id": "id", "status": 200, "tokens": tokens, "truncated": [0]}
    assert max(map(len, pieces)) < 8 * writing.PIECE_BYTES
    if array.ndim == 2:
        for is_base64 in (True, False):
            pieces, _ = await read_all(writing.as_embeddings(array, is_base64, {"model": "m"}))
            found = orjson.loads(b"".join(pieces))
            assert [item["index"] for item in found["data"]] == list(range(len(array)))
            assert (found["object"], found["model"]) == ("list", "m")


def test_answers_are_counted_before_they_are_asked_for() -> None:
    answers = Answers(100)
    first, second = backend_module._Answer(answers), backend_module._Answer(answers)
    first.expect(80)
    with pytest.raises(Problem) as caught:
        second.expect(30)
    assert (caught.value.status, caught.value.retry_after_s) == (429, 2)
    with pytest.raises(Problem) as caught:
        second.expect(101)
    assert caught.value.status == 413
    first.has_come(60)
    second.expect(40)
    for answer in (first, second, first, second):
        answer.release()
    assert answers.held == 0


async def test_a_thousand_requests_at_once_are_a_hundred_and_one() -> None:
    slots = Slots(1)
    go = asyncio.Event()

    async def ask() -> int:
        try:
            async with slots.take(60):
                await go.wait()
                return 200
        except Problem as problem:
            return problem.status

    asking = [asyncio.create_task(ask()) for _ in range(1000)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert slots.waiting <= WAITING_PER_SLOT
    go.set()
    statuses = await asyncio.gather(*asking)
    assert statuses.count(200) <= 1 + WAITING_PER_SLOT
    assert set(statuses) == {200, 429}
    assert (slots.at_work, slots.waiting) == (0, 0)
