"""What number types cost in retrieval: python -m compare.retrieval [--model FOLDER]

The data is that of M. Lee, B. Pincombe and M. Welsh (2005), as the package gensim has it: 50 news in brief, how alike
people found each two of them, and 300 more news. Printed are, for this engine and for CTranslate2 in several types, the
rank correlation (Spearman) of cosines with people's ratings, nDCG@10 of each document's neighbours by these ratings,
how many of the 10 nearest of all news are those of float32, and the cosines of vectors to those in float32.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from environments import CTRANSLATE2, FOLDER, Missing, Peer, python_of

from compare.contenders import CHECKED_TEXTS, KINDS, InProcess, start_own, start_peer
from compare.setup import Setup, Sizes

Array = np.ndarray[Any, np.dtype[np.float64]]

GENSIM = Peer("gensim", ("gensim==4.4.0",), ((3, 10), (3, 11), (3, 12), (3, 13)), ("gensim",))
NEAREST = 10
WARM_UP = "a short sentence with which peers are warmed up"


def news() -> tuple[list[str], list[str], Array]:
    """The 50 documents, 300 more, and how alike two of the 50 are: `[50, 50]`, from 0 to 1."""
    (folder,) = (python_of(GENSIM).parents[1] / "lib").glob("python3*/site-packages/gensim/test/test_data")
    rated, more = ((folder / f"{name}.cor").read_text("latin-1").splitlines() for name in ("lee", "lee_background"))
    half = np.triu(np.loadtxt(folder / "similarities0-1.txt"), 1)  # each pair stands there once
    return rated, more, half + half.T


def likeness(vectors: Array) -> Array:
    """The cosine of each two vectors, `[texts, texts]`."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike: Array = unit @ unit.T
    return alike


def spearman(left: Array, right: Array) -> float:
    """The correlation of ranks; equal numbers share the mean of theirs."""
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def _ranks(values: Array) -> Array:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def ndcg(alike: Array, rated: Array) -> float:
    """nDCG@10 of each document's neighbours by `alike`, where `rated` says how much one is worth; the mean."""
    weights = 1 / np.log2(np.arange(NEAREST) + 2)
    scores = []
    for number in range(len(rated)):
        others = np.arange(len(rated)) != number
        worth = rated[number, others]
        found, best = worth[np.argsort(-alike[number, others])[:NEAREST]], np.sort(worth)[::-1][:NEAREST]
        scores.append(found @ weights / (best @ weights))
    return float(np.mean(scores))


def kept(alike: Array, exact: Array) -> float:
    """The share of the 10 nearest by `exact` that are among those by `alike`."""
    shares = []
    for one, other in zip(alike, exact, strict=True):
        near, wanted = (set(np.argsort(-row)[1 : NEAREST + 1].tolist()) for row in (one, other))
        shares.append(len(near & wanted) / NEAREST)
    return float(np.mean(shares))


def line(name: str, vectors: Array, exact: Array, ratings: Array) -> str:
    """A row of the table."""
    count = len(ratings)
    pairs = np.triu_indices(count, 1)
    alike = likeness(vectors)
    cosines = (vectors * exact).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(exact, axis=1)
    figures = (
        f"{spearman(alike[:count, :count][pairs], ratings[pairs]):.4f}",
        f"{ndcg(alike[:count, :count], ratings):.4f}",
        f"{kept(alike, likeness(exact)):.3f}",
        f"{cosines.min():.5f}",
        f"{cosines.mean():.5f}",
    )
    return f"| {' | '.join((name, *figures))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="in place of MiniLM")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compare-") as folder, ExitStack() as opened:
        setup = Setup(1, Sizes(), Path(folder), parser.parse_args().model)
        rated, more, ratings = news()
        setup.passages = [*rated, *more, WARM_UP]
        engines: list[InProcess] = [start_own(setup, opened, kind) for kind in ("float32", "bfloat16", "int8")]
        files: dict[str, Path] = {}

        def measure(engine: InProcess) -> None:
            files[engine.name] = setup.folder / f"{len(files)}.npy"
            engine.bulk(len(rated) + len(more), files[engine.name])

        for engine in engines:
            measure(engine)
        reference = setup.folder / "reference.npy"
        engines[0].bulk(CHECKED_TEXTS, reference)
        try:
            peers, _ = start_peer(setup, opened, CTRANSLATE2, KINDS[CTRANSLATE2], reference)
        except Missing as error:
            print(error)
            peers = []
        whole = [peer for peer in peers if len(peer.members) == 1]
        for engine in whole:
            measure(engine)
        print("| | Spearman | nDCG@10 | nearest kept | worst cosine | mean cosine |\n|---|---|---|---|---|---|")
        for group in (engines, whole):
            for engine in group:
                vectors, exact = (np.load(files[one.name]).astype(np.float64) for one in (engine, group[0]))
                print(line(engine.name.split(", 1 process")[0], vectors, exact, ratings))


if __name__ == "__main__":
    main()
