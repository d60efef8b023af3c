"""Encode: lists of texts go in, arrays of vectors come out.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    python example/example1_encode.py

The longer the list, the more sentences a second: the server splits it into batches and keeps all its workers busy.
"""

from __future__ import annotations

import time
from itertools import cycle, islice

from arguments import get_parser, server_of
from headlines import read_headlines

from bert_serving.client import BertClient

SIZES = (1, 16, 256, 1024)


def main() -> None:
    args = get_parser(__doc__).parse_args()
    headlines, _ = read_headlines()
    with BertClient(**server_of(args)) as bc:
        for size in SIZES:
            texts = list(islice(cycle(headlines), size))
            started_s = time.perf_counter()
            vectors = bc.encode(texts)
            took_s = time.perf_counter() - started_s
            print(f"{size:5} texts -> {vectors.shape!s:12} {took_s:6.2f} s {size / took_s:6.0f} sentences/s")


if __name__ == "__main__":
    main()
