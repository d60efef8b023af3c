"""Vectors over HTTP: with only Python's standard library, and with the OpenAI client. No BertClient needed.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2 -http_port 8125
    pip install openai
    python example/example12_http.py

The server needs its HTTP packages: `pip install './server[cpu,http]'`.
"""

from __future__ import annotations

import argparse
import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from openai import OpenAI

TEXTS = ["First do it", "then do it right", "then do it better"]
TIMEOUT_S = 60


def encode(url: str, texts: list[str]) -> Any:
    """A list of numbers for each text, from /encode. Any language can do the same."""
    body = json.dumps({"texts": texts}).encode()
    with urlopen(Request(f"{url}/encode", body, {"Content-Type": "application/json"}), timeout=TIMEOUT_S) as answer:
        return json.load(answer)["results"]


def start_of(vectors: Any) -> str:
    """The number of vectors, their length, and the first numbers of the first one."""
    numbers = ", ".join(f"{number:.4f}" for number in vectors[0][:3])
    return f"{len(vectors)} vectors of {len(vectors[0])} numbers: [[{numbers}, .."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-url", "--url", default="http://localhost:8125", help="default: http://localhost:8125")
    url = parser.parse_args().url

    print(f"/encode: {start_of(encode(url, TEXTS))}")
    try:
        encode(url, ["good day", " "])
    except HTTPError as error:
        wrong = json.load(error)["error"]
        print(f"/encode: {error.code} because of text {wrong['index']}: {wrong['message']}")

    client = OpenAI(base_url=f"{url}/v1", api_key="none")  # or the server's -http_api_key
    answer = client.embeddings.create(model="bert", input=TEXTS)
    print(f"OpenAI: {start_of([item.embedding for item in answer.data])}")
    print(f"OpenAI: {answer.usage.total_tokens} tokens, [CLS] and [SEP] of each text included")


if __name__ == "__main__":
    main()
