"""Train a text classifier on vectors: a small Keras network learns what a headline is about.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2
    python example/example5_classifier.py

BERT itself is not trained: the network uses its vectors as features. So 160 headlines and some seconds are enough.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from arguments import get_parser, server_of
from headlines import read_headlines

from bert_serving.client import BertClient

SEED = 1
NUM_TRAIN = 160


def main() -> None:
    args = get_parser(__doc__).parse_args()
    headlines, names = read_headlines()
    classes, labels = np.unique(names, return_inverse=True)
    with BertClient(**server_of(args)) as bc:
        vectors = bc.encode(headlines)

    order = np.random.default_rng(SEED).permutation(len(headlines))
    train, test = order[:NUM_TRAIN], order[NUM_TRAIN:]
    tf.keras.utils.set_random_seed(SEED)
    model = tf.keras.Sequential(
        [
            tf.keras.Input([vectors.shape[1]]),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dropout(0.3),
            tf.keras.layers.Dense(len(classes), activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(vectors[train], labels[train], epochs=40, verbose=0)

    predicted = model.predict(vectors[test], verbose=0).argmax(axis=1)
    for index, guess in zip(test, predicted, strict=True):
        if guess != labels[index]:
            print(f"{names[index]}, taken for {classes[guess]}: {headlines[index]}")
    accuracy = (predicted == labels[test]).mean()
    print(f"trained on {len(train)} headlines, accuracy on {len(test)} others: {accuracy:.3f}")


if __name__ == "__main__":
    main()
