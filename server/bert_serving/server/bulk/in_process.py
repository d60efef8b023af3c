"""Encodes records with an engine in this process: the lanes of a worker, without its sockets."""

from __future__ import annotations

import importlib
import logging
from math import inf
from typing import Any

from bert_serving.server.bulk.encoding import Block, block_of
from bert_serving.server.bulk.records import Record
from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Engine
from bert_serving.server.message.assembly import Assembly
from bert_serving.server.message.tickets import PartKey
from bert_serving.server.worker.encoder import features_of, limits_of, note, place, placed
from bert_serving.server.worker.lanes import Lanes

log = logging.getLogger(__name__)

_KEY = PartKey(0, 0)


class InProcess:
    """A loaded engine."""

    def __init__(self, config: ServerConfig, prepared: str, num_lanes: int) -> None:
        """Raises what the engine's `load` raises."""
        module = importlib.import_module(config.engine)
        module.preload()
        self._engine: Engine = module.load(config, prepared, num_lanes, log.info)
        self._lanes = Lanes(self._engine, limits_of(config, self._engine.on_gpu), lambda: None)
        self._pad_to = config.pad_to
        self.fingerprint = self._engine.fingerprint

    def block(self, records: list[Record]) -> Block:
        """What happens to each record."""
        texts = [record.text for record in records if record.trouble is None]
        assembly = Assembly(len(texts))
        rows = features_of(self._engine, texts)
        note(assembly, 0, rows)
        self._lanes.put(placed(_KEY, 0, rows, inf), urgent=False)
        while not assembly.complete:
            outcome = self._lanes.outcomes.get()
            if outcome.result is not None:
                place(assembly, [row.index for row in outcome.rows], outcome.result)
        return block_of(records, self._outcomes(assembly), len(assembly.truncated))

    def _outcomes(self, assembly: Assembly) -> list[Any]:
        if len(assembly.failures) == assembly.count:
            return [assembly.failures[index] for index in range(assembly.count)]
        vectors = assembly.result(self._pad_to)
        return [assembly.failures.get(index, vector) for index, vector in enumerate(vectors)]

    def close(self) -> None:
        self._lanes.close()
        self._engine.close()
