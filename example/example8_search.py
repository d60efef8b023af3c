"""A search engine in three minutes: ask in your own words, and get answers from docs/faq.md.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    python example/example8_search.py

It asks for questions until you press Enter without typing, or Ctrl-D. To ask a single question:

    python example/example8_search.py --query "how do I make the service go away?"
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from arguments import get_parser, server_of

from bert_serving.client import BertClient

FAQ = Path(__file__).resolve().parents[1] / "docs" / "faq.md"
NUM_MATCHES = 5


def read_faq(page: str) -> list[tuple[str, str]]:
    """The questions, which are headings of the third level, each with the first paragraph of its answer."""
    return re.findall(r"^### (.+?)\s*\n\n(.+?)\s*(?:\n\n|\Z)", page, re.MULTILINE | re.DOTALL)


def encode(bc: BertClient, texts: list[str]) -> Any:
    """Vectors of length 1, whatever the server does: their products are cosines."""
    vectors = bc.encode(texts)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def typed() -> Iterator[str]:
    """The lines typed, until an empty line or the end of the input."""
    while True:
        try:
            query = input("\nyour question: ").strip()
        except EOFError:
            print()
            return
        if not query:
            return
        yield query


def main() -> None:
    parser = get_parser(__doc__)
    parser.add_argument("-query", "--query", help="one question, instead of a prompt")
    args = parser.parse_args()
    faq = read_faq(FAQ.read_text("utf-8"))
    with BertClient(**server_of(args)) as bc:
        questions = encode(bc, [question for question, _ in faq])
        print(f"{len(faq)} questions of docs/faq.md are encoded")
        for query in [args.query] if args.query else typed():
            scores = questions @ encode(bc, [query])[0]
            best = scores.argsort()[::-1][:NUM_MATCHES]
            for index in best:
                print(f"  {scores[index]:.2f}  {faq[index][0]}")
            print(f"\n{faq[best[0]][1]}")


if __name__ == "__main__":
    main()
