r"""A vector for each word: the mean of the vectors of its word pieces. The sentence decides what "mouse" means.

    bert-serving-start -model_dir /models/all-MiniLM-L6-v2 -pooling_strategy NONE -max_seq_len NONE \
        -show_tokens_to_client
    python example/example9_words.py

BERT's tokens are not your words. BERT lower-cases words, splits off punctuation, and splits an unknown word into pieces
(`touch`, `##pad`). Matching these pieces with your words would be guesswork. So the script first asks how each word is
split, and then sends the pieces: then it knows which pieces belong together.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from arguments import get_parser, server_of

from bert_serving.client import BertClient, TruncationWarning
from bert_serving.client.checks import is_blank

ASKED = [
    ("bank", "We sat on the bank of the river and watched the boats."),
    ("bank", "We opened an account at the bank and saved some money."),
    ("mouse", "The cat chased a mouse under the sofa."),
    ("mouse", "Click the left button of the mouse to open the file."),
    ("spring", "In spring the flowers bloom and the days grow longer."),
    ("spring", "A metal spring inside the mattress broke under the load."),
]
OTHERS = [
    "They walked along the bank where the stream bends.",
    "The bank raised its interest rates again.",
    "A rat, a big one, ran across the kitchen floor.",
    "Use the touchpad or keyboard of your laptop!",
    "It was a warm summer, said the gardener.",
    "The coil in the clock is made of steel.",
]


def cut_words(bc: BertClient, words: list[str]) -> dict[str, list[str]]:
    """The word pieces of each word."""
    distinct = list(dict.fromkeys(words))
    _, tokens = bc.encode(distinct, show_tokens=True)
    return {word: row[1:-1] for word, row in zip(distinct, tokens, strict=True)}  # without [CLS] and [SEP]


def word_vectors(bc: BertClient, sentences: list[str]) -> list[list[tuple[str, Any]]]:
    """The words of each sentence, split at blanks, with their vectors."""
    # a word with only invisible characters has no pieces, and would be refused
    rows = [[word for word in sentence.split() if not is_blank(word)] for sentence in sentences]
    pieces = cut_words(bc, [word for row in rows for word in row])
    vectors = bc.encode([[piece for word in row for piece in pieces[word]] for row in rows], is_tokenized=True)
    found = []
    for row, of_pieces in zip(rows, vectors, strict=True):
        ends = np.cumsum([len(pieces[word]) for word in row])
        parts = np.split(of_pieces[1:], ends)[:-1]  # [CLS] comes before them, [SEP] and padding are in the last part
        found.append([(word, part.mean(axis=0)) for word, part in zip(row, parts, strict=True)])
    return found


def cosine(a: Any, b: Any) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def main() -> None:
    args = get_parser(__doc__).parse_args()
    warnings.simplefilter("error", TruncationWarning)  # the words of a cut sentence would get wrong vectors
    with BertClient(**server_of(args)) as bc:
        asked = word_vectors(bc, [sentence for _, sentence in ASKED])
        others = word_vectors(bc, OTHERS)
    for (word, sentence), row in zip(ASKED, asked, strict=True):
        vector = dict(row)[word]
        score, nearest, where = max(
            (cosine(vector, other), name, text)
            for text, words in zip(OTHERS, others, strict=True)
            for name, other in words
        )
        print(f"{word!r} in {sentence!r}\n  {score:.2f}  {nearest!r} in {where!r}")


if __name__ == "__main__":
    main()
