"""CTranslate2 in process: peer_ctranslate2 TOKENIZER TEXTS CONVERTED_FOLDER KIND,..

The folder is that of `ct2-transformers-converter`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from compare.peer import Array, Forward, run
from compare.protocol import pin


def forward_of(kind: str, ctranslate2: Any, folder: str, threads: int) -> Forward:
    """The encoder computing in that type."""
    encoder = ctranslate2.Encoder(folder, device="cpu", compute_type=kind, intra_threads=threads)

    def forward(ids: Array, mask: Array) -> Array:
        rows = [row[:length].tolist() for row, length in zip(ids, mask.sum(1), strict=True)]
        return np.array(encoder.forward_batch(rows).last_hidden_state)

    return forward


def main() -> None:
    tokenizer, texts, converted, kinds = sys.argv[1:]
    threads = pin()
    ctranslate2: Any = importlib.import_module("ctranslate2")
    forwards = {kind: forward_of(kind, ctranslate2, converted, threads) for kind in kinds.split(",")}
    run(forwards, tokenizer, texts)


if __name__ == "__main__":
    main()
