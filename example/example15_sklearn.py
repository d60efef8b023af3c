"""scikit-learn: vectors as a step of a Pipeline, and cross-validation of all of it.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    pip install scikit-learn
    python example/example15_sklearn.py

An estimator is cloned for each fold and pickled for other processes. So this one holds only where the server is; the
connection is made when it is first needed, one in each process.
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
    """The connection of this process, which all its threads may share. After a fork it has to be another one."""
    return BertClient(ip, port, port_out)


class BertVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Texts to vectors. There is nothing to fit: the model behind the server is trained already."""

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
