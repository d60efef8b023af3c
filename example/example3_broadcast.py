"""Encode once, use the vectors in several programs: clients with the same identity receive each other's answers.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    python example/example3_broadcast.py

One process encodes. Two others have clones of its client: they listen, and each computes something else from the same
vectors. They could also run on other machines, and each train a model of its own.
"""

from __future__ import annotations

import multiprocessing
import sys
import uuid
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np
from arguments import get_parser, server_of

from bert_serving.client import BertClient

LISTS = [
    ["Snow may fall in the hills", "Heavy rain is on its way", "Rain will be heavy tonight", "The cat sleeps all day"],
    ["Add two spoons of sugar", "The train leaves at noon", "Stir in a little sugar", "Bake the cake for an hour"],
    ["She plays the violin", "My violin needs new strings", "The orchestra rehearses", "Our roof has a hole"],
]
PATIENCE_S = 60
"""A clone that hears nothing for this long gives up: another process has died."""


def closest_pair(texts: list[str], cosines: Any) -> str:
    """The two most similar texts."""
    first, second = np.unravel_index(np.argmax(cosines - 2 * np.eye(len(texts))), cosines.shape)  # no text with itself
    return f"{texts[first]} / {texts[second]}"


def odd_one_out(texts: list[str], cosines: Any) -> str:
    """The text that is least similar to the others."""
    return texts[np.argmin(cosines.sum(axis=1))]


def show(line: str) -> None:
    """Print the line in one piece, because three processes print at once."""
    print(f"{line}\n", end="", flush=True)


def clone(
    compute: Callable[[list[str], Any], str], server: dict[str, Any], identity: str, everyone_listens: Barrier
) -> None:
    """A process that receives the vectors that the main process asks for."""
    with BertClient(**server, identity=identity) as bc:
        responses = bc.listen(timeout=1000 * PATIENCE_S)  # nothing is missed after this call
        everyone_listens.wait(PATIENCE_S)
        num_heard = 0
        for texts, response in zip(LISTS, responses, strict=False):
            vectors = response.embedding / np.linalg.norm(response.embedding, axis=1, keepdims=True)
            show(f"{compute.__name__}: heard {vectors.shape}, {compute(texts, vectors @ vectors.T)}")
            num_heard += 1
    if num_heard < len(LISTS):
        sys.exit(f"{compute.__name__}: heard only {num_heard} of {len(LISTS)} answers")


def main() -> None:
    server = server_of(get_parser(__doc__).parse_args())
    identity = str(uuid.uuid4())
    spawn = multiprocessing.get_context("spawn")
    tasks = (closest_pair, odd_one_out)
    everyone_listens = spawn.Barrier(len(tasks) + 1)
    clones = [
        spawn.Process(target=clone, args=(task, server, identity, everyone_listens), daemon=True) for task in tasks
    ]
    for process in clones:
        process.start()
    with BertClient(**server, identity=identity) as bc:
        everyone_listens.wait(PATIENCE_S)
        for texts in LISTS:
            show(f"encode: {bc.encode(texts).shape}")
    for process in clones:
        process.join()
    sys.exit(any(process.exitcode for process in clones))


if __name__ == "__main__":
    main()
