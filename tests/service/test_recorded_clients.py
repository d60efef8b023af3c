"""Frames that clients sent, as they were recorded, and the answers that version 2.0.0 gave: both stay as they are.

The first client is bert-serving-client 1.10.0 with pyzmq 27, the second this one before a request had a table of
options. A header may say more than it did; what it said stays.
"""

from __future__ import annotations

import json

import pytest
from raw_client import ANSWER_TIMEOUT_MS, RawClient
from serving import Serve

LEGACY = b"157e3861-2244-4f9e-9ffe-fce941b944e1"
HEY_YOU = bytes.fromhex("a91c143f5cb05f3f02427a3f2162363f5c99343eac7d153fe16d6a3f91c5193c")
OTHER = bytes.fromhex("ec73793ef441553f7459ac3e8684b73e3434d53efced173f6367703fc344ee3e")
ONE_CHARACTER = bytes.fromhex("8fe3cc3eb5de503f061a3f3fcbe0223e8af7583fb3920e3fd043703ff595563f")
TWO_CHARACTERS = bytes.fromhex("1b2e873eb1b87a3ed7c7d53eb0555b3e820d953d62e70d3f8ea6503e47c0383e")

RECORDED: dict[str, tuple[list[bytes], list[bytes]]] = {
    "1.10, texts": (
        [LEGACY, rb'["hey you", "\u4f60\u597d \"there\" \\ \u00e9\ud83d\ude00"]', b"2", b"2"],
        [b'{"dtype":"float32","shape":[2,8],"tokens":"","num_tokens":30}', HEY_YOU + OTHER, b"2"],
    ),
    "1.10, tokens": (
        [LEGACY, rb'[["hey", "you"], ["\u4f60"]]', b"3", b"2"],
        [b'{"dtype":"float32","shape":[2,8],"tokens":"","num_tokens":10}', HEY_YOU + ONE_CHARACTER, b"3"],
    ),
    "2.0.0, texts": (
        [b"me", '["hey you","你好 \\"there\\" \\\\ é😀"]'.encode(), b"2", b"2"],
        [b'{"dtype":"float32","shape":[2,8],"tokens":"","num_tokens":30}', HEY_YOU + OTHER, b"2"],
    ),
    "2.0.0, tokens": (
        [b"me", '[["hey","you"],["你"]]'.encode(), b"3", b"2"],
        [b'{"dtype":"float32","shape":[2,8],"tokens":"","num_tokens":10}', HEY_YOU + ONE_CHARACTER, b"3"],
    ),
    "2.0.0, with a timeout": (
        [b"me", '["hey you","你好"]'.encode(), b"4", b"2", b'{"timeout_ms":59999}'],
        [b'{"dtype":"float32","shape":[2,8],"tokens":"","num_tokens":13}', HEY_YOU + TWO_CHARACTERS, b"4"],
    ),
    "2.0.0, a text that is cut": (
        [b"me", b'["!truncated"]', b"6", b"1"],
        [
            b'{"dtype":"float32","shape":[1,8],"tokens":"","num_tokens":10,"truncated":[0]}',
            bytes.fromhex("9c742c3fbf6b7d3f507bbd3da623b03e29dcf53ea86bd63e00ac253f437b713f"),
            b"6",
        ],
    ),
    "2.0.0, a text that fails": (
        [b"me", b'["hey you","!no-features"]', b"5", b"2", b'{"timeout_ms":59999}'],
        [
            b'{"error":{"type":"row_failed","index":1,'
            b'"message":"text 1 could not be encoded: it cannot be tokenized"}}',
            b"",
            b"5",
        ],
    ),
}


def test_recorded_requests_get_their_recorded_answers(serve: Serve) -> None:
    server = serve()
    for name, (request, (header, content, request_id)) in RECORDED.items():
        with RawClient(server, request[0]) as raw:
            raw.push.send_multipart(request)
            assert raw.sub.poll(ANSWER_TIMEOUT_MS), name
            topic, found, *rest = raw.sub.recv_multipart()
        assert (topic, rest) == (request[0] + b"\0", [content, request_id]), name
        said, says = json.loads(header), json.loads(found)
        assert {key: says.get(key) for key in said} == said, name


@pytest.mark.parametrize("identity", [LEGACY, b"me"])
def test_a_recorded_question_for_the_config_is_answered_in_three_frames(serve: Serve, identity: bytes) -> None:
    with RawClient(serve(), identity) as raw:
        raw.push.send_multipart([identity, b"SHOW_CONFIG", b"1", b"0"])
        assert raw.sub.poll(ANSWER_TIMEOUT_MS)
        topic, content, request_id = raw.sub.recv_multipart()
    assert (topic, request_id) == (identity + b"\0", b"1")
    assert json.loads(content)["server_version"] == "1.10.0"
