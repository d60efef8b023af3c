"""Send texts while others are being encoded, and receive the vectors as they arrive.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    python example/example2_asynchronous.py

The first part uses `encode(.., blocking=False)`, which returns at once, and `fetch`. The second part uses
`encode_async`, which takes lists from a generator in a thread of its own. The generator may be endless: it is asked for
more lists only as fast as you take the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

from arguments import get_parser, server_of
from headlines import read_headlines

from bert_serving.client import BertClient

LIST_SIZES = (64, 32, 1)
BATCH_SIZE = 8
NUM_BATCHES = 100


def fetch_later(bc: BertClient, headlines: list[str]) -> None:
    """Send some lists, then fetch their vectors, in the order in which they are done."""
    for size in LIST_SIZES:
        bc.encode(headlines[:size], blocking=False)
        print(f"sent a list of {size}")
    print(f"nothing fetched yet, {bc.status['num_pending_request']} answers are due")
    for response in bc.fetch():
        print(f"fetched {response.embedding.shape}, the answer to request {response.id}")


def stream(bc: BertClient, headlines: list[str]) -> None:
    """Receive vectors while more lists are still being made."""
    num_made = 0

    def batches() -> Iterator[list[str]]:
        nonlocal num_made
        texts = cycle(headlines)
        while True:
            num_made += 1
            yield list(islice(texts, BATCH_SIZE))

    for num_received, response in enumerate(bc.encode_async(batches(), max_num_batch=NUM_BATCHES), 1):
        if num_received % 20 == 0:
            print(f"received {num_received} of {num_made} batches made so far, each {response.embedding.shape}")


def main() -> None:
    args = get_parser(__doc__).parse_args()
    headlines, _ = read_headlines()
    with BertClient(**server_of(args)) as bc:
        fetch_later(bc, headlines)
        stream(bc, headlines)


if __name__ == "__main__":
    main()
