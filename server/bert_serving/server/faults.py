"""Faults on purpose, to show what the service does about them; none unless the environment asks for one.

`BERT_SERVING_FAULT_DIE=TEXT`: a worker that is about to encode a text which contains TEXT ends as by `kill -9`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from bert_serving.server.engine.contract import Engine, Row, Texts, Vectors


def with_faults(engine: Engine) -> Engine:
    """The engine, with the faults that the environment asks for."""
    deadly = os.environ.get("BERT_SERVING_FAULT_DIE")
    return _Deadly(engine, deadly) if deadly else engine


class _Deadly:
    def __init__(self, engine: Engine, deadly: str) -> None:
        self._engine = engine
        self._deadly = deadly
        self._rows: set[tuple[int, ...]] = set()

    @property
    def lanes(self) -> int:
        return self._engine.lanes

    @property
    def on_gpu(self) -> bool:
        return self._engine.on_gpu

    def features(self, texts: Texts) -> list[Row | str]:
        rows = self._engine.features(texts)
        for text, row in zip(texts, rows, strict=True):
            if isinstance(row, Row) and self._deadly in text:
                self._rows.add(tuple(row.ids))
        return rows

    def tokens(self, row: Row) -> list[str]:
        return self._engine.tokens(row)

    def compiles(self, rows: Sequence[Row]) -> bool:
        return self._engine.compiles(rows)

    def run(self, rows: Sequence[Row]) -> Vectors:
        if any(tuple(row.ids) in self._rows for row in rows):
            os.kill(os.getpid(), signal.SIGKILL)
        return self._engine.run(rows)

    def close(self) -> None:
        self._engine.close()
