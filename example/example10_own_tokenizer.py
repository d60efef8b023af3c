"""A tokenizer of your own: a regular expression splits names from program code as their authors meant them.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2 -show_tokens_to_client
    python example/example10_own_tokenizer.py

With `is_tokenized=True`, the server looks your tokens up in the vocabulary as they are. A token that is not there
becomes [UNK], and its meaning is lost. So look at the server's tokens before you trust the vectors.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from arguments import get_parser, server_of

from bert_serving.client import BertClient

NAMES = ["getHTTPResponse", "get_http_response", "loadCfgFile2", "JSONError"]
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def tokenize(name: str) -> list[str]:
    """`getHTTPResponse` becomes get, http, response: in lower case, like this model's vocabulary."""
    return [part.lower() for part in PART.findall(name)]


def cosine(a: Any, b: Any) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def main() -> None:
    args = get_parser(__doc__).parse_args()
    mine = [tokenize(name) for name in NAMES]
    with BertClient(**server_of(args)) as bc:
        vectors, seen = bc.encode(mine, is_tokenized=True, show_tokens=True)
        vectors_of_server, cut_by_server = bc.encode(NAMES, show_tokens=True)

    for name, tokens, row, cut in zip(NAMES, mine, seen, cut_by_server, strict=True):
        lost = [token for token, known in zip(tokens, row[1:-1], strict=True) if known == "[UNK]"]
        print(f"{name}\n  own tokenizer: {' '.join(row)}\n  the server's:  {' '.join(cut)}")
        if lost:
            print(f"  not in the vocabulary: {', '.join(lost)}")
    print(f"\nhow alike are {NAMES[0]} and {NAMES[1]}?")
    print(f"  own tokenizer: {cosine(*vectors[:2]):.2f}\n  the server's:  {cosine(*vectors_of_server[:2]):.2f}")


if __name__ == "__main__":
    main()
