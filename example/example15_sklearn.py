"""scikit-learn: vectors as a step of a Pipeline, and cross-validation of the whole pipeline.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    pip install scikit-learn
    python example/example15_sklearn.py

scikit-learn clones an estimator for each fold, and pickles it for other processes. So this one holds only the server's
address. Each process connects when it first needs to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import Any

from arguments import get_parser, server_of
from headlines import read_headlines
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline

from bert_serving.client import BertClient

NUM_FOLDS = 5


@cache
def connected(process_id: int, ip: str, port: int, port_out: int) -> BertClient:
    """The connection of this process. All its threads may share it. After a fork, a new one is needed."""
    return BertClient(ip, port, port_out)


class BertVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Texts to vectors. There is nothing to fit: the server's model is already trained."""

    def __init__(self, ip: str = "localhost", port: int = 5555, port_out: int = 5556) -> None:
        self.ip = ip
        self.port = port
        self.port_out = port_out

    def fit(self, texts: Iterable[str], labels: Any = None) -> BertVectorizer:
        return self

    def transform(self, texts: Iterable[str]) -> Any:
        return connected(os.getpid(), self.ip, self.port, self.port_out).encode(list(texts))


def main() -> None:
    args = get_parser(__doc__).parse_args()
    headlines, labels = read_headlines()
    pipeline = Pipeline(
        [
            ("vectors", BertVectorizer(**server_of(args))),
            ("classifier", LogisticRegression(max_iter=1000)),
        ]
    )
    scores = cross_val_score(pipeline, headlines, labels, cv=NUM_FOLDS)
    print(f"accuracy on each fold: {' '.join(f'{score:.3f}' for score in scores)}")
    print(f"mean accuracy: {scores.mean():.3f}")


if __name__ == "__main__":
    main()
