"""An engine in the process of the job: the same blocks as a server gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from fake_engine import DIM, vector_of
from serving import Connect, Serve, fake_config

from bert_serving.server.bulk.by_server import ServerEncoder
from bert_serving.server.bulk.encoding import Block, Rest, joined
from bert_serving.server.bulk.formats import Reading
from bert_serving.server.bulk.in_process import InProcess
from bert_serving.server.bulk.locations import LocalPath
from bert_serving.server.bulk.records import Record, open_source

Load = Callable[..., InProcess]


@pytest.fixture
def load() -> Iterator[Load]:
    with ExitStack() as opened:

        def one(num_lanes: int = 2, **options: Any) -> InProcess:
            engine = InProcess(fake_config(**options), "prepared", num_lanes)
            opened.callback(engine.close)
            return engine

        yield one


def of(texts: list[str]) -> list[Record]:
    return [Record(line, text, None if text.strip() else "the text is blank") for line, text in enumerate(texts, 1)]


def test_every_text_gets_its_own_vector_or_its_own_trouble(load: Load) -> None:
    texts = [f"text {number}" * (number % 40 + 1) for number in range(300)]
    bad = {3: " ", 50: "!no-features", 51: "!truncated", 120: "!nan", 121: "!crash", 299: "!tokenizer-crash"}
    block = load().block(of([bad.get(number, text) for number, text in enumerate(texts)]))
    assert [record.line for record in block.records] == list(range(1, 301))
    assert block.num_cut == 1
    assert sorted(block.troubles) == [3, 50, 120, 121, 299]
    for number, reason in ((3, "blank"), (50, "tokenized"), (120, "not finite"), (121, "crashed"), (299, "failed")):
        assert reason in block.troubles[number]
    for number, (record, vector) in enumerate(zip(block.records, block.vectors, strict=True)):
        if number in block.troubles:
            assert vector is None
        else:
            np.testing.assert_array_equal(vector, vector_of(record.text))


def test_no_text_and_none_that_is_one(load: Load) -> None:
    engine = load()
    assert engine.block([]) == Block([], [], {}, 0)
    assert engine.block(of(["!no-features", ""])).vectors == [None, None]


@pytest.mark.parametrize("options", [{"max_seq_len": 30}, {"fixed_embed_length": True, "max_positions": 40}])
def test_matrices_are_as_long_as_those_of_a_server(
    load: Load, serve: Serve, connect: Connect, options: dict[str, Any], tmp_path: Any
) -> None:
    options = {"pooling_strategy": "NONE", **options}
    path = tmp_path / "in.txt"
    path.write_text("one\ntwenty one\n")
    source = open_source(LocalPath(path), Reading())
    encoder = ServerEncoder(connect(serve(**options)), [Rest(source, 0)], 8)
    (served,) = encoder.blocks(0)
    found = load(**options).block(list(source.read()))
    np.testing.assert_array_equal(np.stack(found.vectors), np.stack(served.vectors))
    assert encoder.shape == found.vectors[0].shape == (options.get("max_positions", 30), DIM)


def test_blocks_are_joined_in_order() -> None:
    one = Block(of(["a", " "]), [1, None], {1: "blank"}, 1)
    two = Block(of(["!", "b"]), [None, 2], {0: "bad"}, 2)
    both = joined([one, two])
    assert (both.vectors, both.troubles, both.num_cut) == ([1, None, None, 2], {1: "blank", 2: "bad"}, 3)
    assert both.records == [*one.records, *two.records]
