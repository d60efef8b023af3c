"""Requests through the running service: the right rows to the right client, whatever else goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fake_engine import expected, vector_of
from raw_client import RawClient
from serving import Connect, Serve, fake_config, ports_of

from bert_serving.client import AsyncBertClient, BertClient, RowFailed
from bert_serving.client.wire import Command, decode_reply, encode_command, encode_request
from bert_serving.server import BertServer, PoolingStrategy


def texts_of(number: int, tag: str) -> list[str]:
    return [f"{tag} {index} " + "word " * (index % 13) for index in range(number)]


def assert_rows(array: Any, texts: list[str]) -> None:
    np.testing.assert_array_equal(array, expected(texts))


@pytest.mark.parametrize(("num_worker", "max_batch_size"), [(1, 7), (2, 256), (3, 1)])
def test_row_i_belongs_to_text_i(serve: Serve, connect: Connect, num_worker: int, max_batch_size: int) -> None:
    client = connect(serve(num_worker=num_worker, max_batch_size=max_batch_size, max_batch_tokens=300))
    random = np.random.default_rng(num_worker * 1000 + max_batch_size)
    for size in [1, 2, *random.integers(1, 400, 12)]:
        texts = texts_of(int(size), f"size {size}")
        assert_rows(client.encode(texts), texts)


def test_64_clients_a_large_call_and_a_small_one_beside_it(server: BertServer, connect: Connect) -> None:
    def one_client(number: int) -> None:
        client = connect(server)
        for turn in range(5):
            texts = texts_of(1 + (number * 7 + turn) % 40, f"client {number} turn {turn}")
            assert_rows(client.encode(texts), texts)

    def large_call() -> None:
        texts = texts_of(10_000, "large")
        assert_rows(connect(server).encode(texts), texts)

    with ThreadPoolExecutor(66) as pool:
        running = [pool.submit(large_call), *(pool.submit(one_client, number) for number in range(64))]
        for done in running:
            done.result(timeout=120)


async def test_100_awaits_on_one_connection(server: BertServer) -> None:
    batches = [texts_of(1 + number % 9, f"await {number}") for number in range(100)]
    async with AsyncBertClient(**ports_of(server)) as client:
        answers = await asyncio.gather(*(client.encode(batch) for batch in batches))
    for answer, batch in zip(answers, batches, strict=True):
        assert_rows(answer, batch)


def test_a_small_call_is_not_behind_a_large_one(serve: Serve, connect: Connect) -> None:
    server = serve(num_worker=1, max_batch_size=4)
    large, small = connect(server), connect(server)
    finished: list[str] = []

    def run(name: str, client: BertClient, texts: list[str]) -> None:
        client.encode(texts)
        finished.append(name)

    # 400 micro-batches of 10 ms; were the small call behind them, it would come last
    bulk = threading.Thread(target=run, args=("large", large, ["!slow 0.01"] * 400))
    bulk.start()
    while small.server_status["queue"]["open_requests"] == 0:
        pass
    run("small", small, ["hello"])
    bulk.join()
    assert finished == ["small", "large"]


@pytest.fixture(scope="module")
def one_worker() -> Iterator[BertServer]:
    with BertServer(fake_config(num_worker=1)) as server:
        yield server


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("!crash", "the model failed: RuntimeError: the model crashed"),
        ("!nan", "not finite"),
        ("!no-features", "it cannot be tokenized"),
        ("!tokenizer-crash", "tokenization failed"),
    ],
)
def test_a_bad_text_fails_its_request_alone(one_worker: BertServer, connect: Connect, bad: str, says: str) -> None:
    victim, others = connect(one_worker), [connect(one_worker) for _ in range(4)]
    texts = texts_of(10, "fine")
    with ThreadPoolExecutor(5) as pool:
        failing = pool.submit(victim.encode, [*texts, bad, "after"])
        fine = [pool.submit(client.encode, texts) for client in others]
        for done in fine:
            assert_rows(done.result(timeout=30), texts)
        with pytest.raises(RowFailed, match=says) as caught:
            failing.result(timeout=30)
    assert caught.value.index == 10
    assert_rows(victim.encode(texts), texts)


def test_tokens_and_truncation_are_told(serve: Serve, connect: Connect) -> None:
    client = connect(serve(show_tokens_to_client=True, max_batch_size=2))
    vectors, tokens = client.encode(["a b", "c", "d e f"], show_tokens=True)
    assert vectors.shape == (3, 8)
    assert tokens == [["a", "b"], ["c"], ["d", "e", "f"]]
    with pytest.warns(UserWarning, match="1 of 3 texts"):
        client.encode(["a", "b", "!truncated"])


@pytest.mark.parametrize(
    ("options", "padded"),
    [
        ({"max_seq_len": 9}, 9),
        ({"max_seq_len": None}, 6),
        ({"max_seq_len": None, "fixed_embed_length": True, "max_positions": 20}, 20),
    ],
)
def test_token_vectors_are_padded(serve: Serve, connect: Connect, options: dict[str, Any], padded: int) -> None:
    client = connect(serve(pooling_strategy=PoolingStrategy.NONE, max_batch_size=2, **options))
    texts = ["abcdef", "ab", "a", "abc", "abcd"]
    vectors = client.encode(texts)
    assert vectors.shape == (5, padded, 8)
    for vector, text in zip(vectors, texts, strict=True):
        np.testing.assert_array_equal(vector[: len(text)], np.repeat(vector_of(text)[None], len(text), axis=0))
        assert not vector[len(text) :].any()


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([b"not json", b"1", b"1"], "not JSON"),
        ([b'["a"]', b"1", b"3"], "holds 1"),
        ([b'["a"]', b"1"], "4 frames"),
        ([b'["a", 1]', b"1", b"2"], "text 1 is int"),
        ([b'["a"]', b"x", b"1"], "request id"),
        ([b'["a"]', b"1", b"1", b'{"pooling": "x"}'], "unknown option 'pooling' ('x'): the known ones are timeout_ms"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_frames_that_are_no_request_get_an_error(
    server: BertServer, connect: Connect, frames: list[bytes], says: str
) -> None:
    name = says.encode()  # an answer to one that had this name before would be lost
    with RawClient(server, name) as raw:
        reply = raw.ask(name, *frames)
        assert says in str(getattr(reply, "error", reply))
    assert_rows(connect(server).encode(["still here"]), ["still here"])


@pytest.mark.parametrize("identity", [b"a#b", b"a@1", b"\xff\xfe", b"#", b"job#1@0", b"x" * 255])
def test_an_identity_of_any_bytes(server: BertServer, identity: bytes) -> None:
    with RawClient(server, identity) as raw:
        reply = raw.ask(*encode_request(identity, 5, ["one", "two"]))
        assert_rows(getattr(reply, "array", None), ["one", "two"])


def test_nobody_reads_the_results_of_others(server: BertServer) -> None:
    with RawClient(server, b"") as spy, RawClient(server, b"victi") as prefix, RawClient(server, b"victim") as victim:
        victim.ask(*encode_request(b"victim", 1, ["secret"]))
        # a spy's own answer comes after anything that could have leaked: one thread publishes in order
        for other, identity in ((spy, b"spy"), (prefix, b"prefix")):
            other.sub.subscribe(identity)
            reply = other.ask(*encode_request(identity, 1, ["own"]))
            assert reply.identity == identity


def test_an_answer_waits_for_a_late_subscriber(server: BertServer) -> None:
    with RawClient(server, b"other") as raw:
        raw.push.send_multipart(encode_request(b"late", 1, ["kept"]))
        raw.ask(*encode_request(b"other", 2, ["later"]))  # the first answer has been published to nobody
        raw.sub.subscribe(b"late")
        assert raw.sub.poll(10_000)
        reply = decode_reply(raw.sub.recv_multipart())
        assert (reply.identity, reply.request_id) == (b"late", 1)
        assert_rows(getattr(reply, "array", None), ["kept"])


def test_a_clone_that_subscribes_late_gets_the_answer_to_its_first_question(server: BertServer) -> None:
    """The published client asks for the config once and waits for ever; its clone's subscription may come second."""
    question = encode_command(b"twin", 1, Command.SHOW_CONFIG)
    with RawClient(server, b"twin") as first, RawClient(server, b"other") as clone:
        first.ask(*question)
        clone.push.send_multipart(question)
        assert first.sub.poll(10_000)  # the clone's answer has been published, to the first alone
        first.sub.recv_multipart()
        clone.sub.subscribe(b"twin")
        assert clone.sub.poll(10_000)
        reply = decode_reply(clone.sub.recv_multipart())
        assert (reply.request_id, getattr(reply, "content", {})["state"]) == (1, "ready")
        assert not first.sub.poll(0)


def test_config_and_status(server: BertServer, connect: Connect) -> None:
    client = connect(server)
    before = client.server_status["statistic"]["num_total_seq"]
    client.encode(["a", "b"])
    config, status = client.server_config, client.server_status
    assert (config["server_version"], config["protocol"], config["state"]) == ("1.10.0", 2, "ready")
    assert config["num_process"] == 5
    assert status["statistic"]["num_total_seq"] == before + 2
    assert [(p["name"], p["device"], p["state"]) for p in status["processes"]] == [
        ("ventilator", "cpu", "ready"),
        ("sink", "cpu", "ready"),
        ("worker-0", "cpu", "ready"),
        ("worker-1", "cpu", "ready"),
    ]
