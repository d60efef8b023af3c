"""What a request costs, counted and not timed: messages, their frames, and passes of JSON, in each process.

Whoever makes it more should know: change the numbers here, and `docs/transport.md`. Fewer are no failure where the
number depends on what happens to come together.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from counting import MARK, counted, noted
from fake_engine import expected
from serving import fake_config, ports_of

from bert_serving.client import BertClient
from bert_serving.server import BertServer

PARTS = 4
"""Of 256 texts for one worker."""


def cost(folder: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> dict[str, Counter[str]]:
    """Of one request with these texts, by process. Nothing is asked before it: on a busy machine that is repeated."""
    counted(monkeypatch, folder)
    with (
        BertServer(fake_config(num_worker=1)) as server,
        BertClient(**ports_of(server), identity=MARK, ignore_all_checks=True) as client,
    ):
        before = {role: noted(folder, role) for role in ("ventilator", "worker", "sink")}
        np.testing.assert_array_equal(client.encode(texts), expected(texts))
    return {role: noted(folder, role) - counts for role, counts in before.items()}


def test_one_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = cost(tmp_path, monkeypatch, [f"{MARK} text"])
    assert costs == {
        "ventilator": {
            "receive client": 1, "receive client frames": 4, "read JSON": 1, "send Part": 1, "send Part frames": 2,
            "receive Done": 1, "receive Done frames": 2, "receive Delivered": 1, "receive Delivered frames": 2,
        },
        "worker": {
            "receive Part": 1, "receive Part frames": 1, "read JSON": 1, "send Rows": 1, "send Rows frames": 1,
            "send Done": 1, "send Done frames": 1,
        },
        "sink": {
            "receive Rows": 1, "receive Rows frames": 1, "send client": 1, "send client frames": 4,
            "send Delivered": 1, "send Delivered frames": 1,
        },
    }  # fmt: skip


def test_256_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of 100 characters: their parts are the client's own bytes, which nobody writes again."""
    costs = cost(tmp_path, monkeypatch, [f"{MARK} {number} ".ljust(100, "x") for number in range(256)])
    ventilator, worker, sink = costs["ventilator"], costs["worker"], costs["sink"]
    assert ventilator["read JSON"] == 1
    assert worker["read JSON"] == PARTS
    assert sum(counts["write JSON"] for counts in costs.values()) == sink["read JSON"] == 0
    assert ventilator["send Part"] == worker["receive Part"] == worker["send Rows"] == sink["receive Rows"] == PARTS
    assert sink["send client"] == 1
    assert worker["send Rows frames"] == PARTS
    assert worker["receive Part frames"] == PARTS
    assert 1 <= worker["send Done"] == ventilator["receive Done"] <= PARTS
    assert 1 <= sink["send Received"] == ventilator["receive Received"] <= PARTS - 1
    assert sink["send Delivered"] == ventilator["receive Delivered"] == 1
