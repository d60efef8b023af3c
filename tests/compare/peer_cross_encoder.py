"""The CrossEncoder of sentence-transformers in process, with all cores: peer_cross_encoder MODEL_FOLDER TEXTS.json"""

from __future__ import annotations

import importlib
import statistics
import sys
from functools import partial
from typing import Any

from compare.protocol import pin, serve, texts_of, timed
from compare.texts import ranking


class Ranker:
    """Asked as `load` is."""

    def __init__(self, model: Any, texts: list[str]) -> None:
        self._model = model
        self._texts = texts

    def ranked(self, number: int) -> dict[str, Any]:
        """What it makes of one ranking."""
        found = self._model.rank(*ranking(self._texts, number))
        return {"hits": [(int(hit["corpus_id"]), float(hit["score"])) for hit in found]}

    def rank(self, calls: int) -> dict[str, Any]:
        """One ranking a call, each of other documents."""
        asked = [ranking(self._texts, number) for number in range(calls)]
        took = [timed(partial(self._model.rank, *one)) for one in asked]
        return {"mean_ms": statistics.mean(took) * 1e3}


def main() -> None:
    folder, texts = sys.argv[1:]
    threads = pin()
    importlib.import_module("torch").set_num_threads(threads)
    cross_encoder: Any = importlib.import_module("sentence_transformers").CrossEncoder
    ranker = Ranker(cross_encoder(folder, device="cpu"), texts_of(texts))
    serve({"ranked": ranker.ranked, "rank": ranker.rank})


if __name__ == "__main__":
    main()
