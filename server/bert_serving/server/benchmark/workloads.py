"""Workloads: pools of texts, and times of arrival. Pure: the same seed gives the same texts and times.

`words`       as in 1.10: random words of the file, as many as `max_seq_len`, so that every text is cut to that length
`sentences`   sentences and passages of the file as they are: what people send, of mixed length
`tasks` says which files, `locations` where they are; `records` reads; `by_server` or `on_ray` encodes, behind the
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WORDS, SENTENCES = "words", "sentences"
POOL_SIZE = 4096
"""Different texts in a pool; longer requests go through it again."""

LONGEST_PASSAGE = 8
SINGLE_SHARE = 0.5
"""The chance that a passage ends after each of its sentences: half of the texts are single sentences."""

UNLIMITED_WORDS = 25
"""Words in a text of `words` for a server without a limit: that of 1.10's default `max_seq_len`."""

_SENTENCE_END = re.compile(r"(?<=[.?!:;。！？；])\s+|(?<=[。！？])|\n\s*\n")
_PAIR_MARK = "|||"


@dataclass(frozen=True)
class TextPool:
    """Texts in order, gone through again and again. `tokens` counts those of each text after cutting, if known."""

    texts: tuple[str, ...]
    tokens: tuple[int, ...] | None = None

    def request(self, number: int, size: int) -> tuple[list[str], int | None]:
        """The texts of request `number` if all have `size` texts, and how many tokens they have together."""
        places = [(number * size + offset) % len(self.texts) for offset in range(size)]
        tokens = None if self.tokens is None else sum(self.tokens[place] for place in places)
        return [self.texts[place] for place in places], tokens


def vocabulary(text: str) -> list[str]:
    """The different words of a text, as blanks divide them."""
    return sorted(set(text.replace(_PAIR_MARK, " ").split()))


def sentences(text: str) -> list[str]:
    """The sentences of a text, on one line each; what has no letter or digit is none."""
    pieces = (" ".join(piece.replace(_PAIR_MARK, " ").split()) for piece in _SENTENCE_END.split(text))
    return [piece for piece in pieces if any(map(str.isalnum, piece))]


def random_words(text: str, num_words: int, seed: int) -> TextPool:
    """The `words` of 1.10, drawn from `text`."""
    words, draw = vocabulary(text), random.Random(seed)
    return TextPool(tuple(" ".join(draw.choices(words, k=num_words)) for _ in range(POOL_SIZE)))


def mixed_passages(text: str, seed: int) -> TextPool:
    """Sentences and passages of `text`: one to LONGEST_PASSAGE sentences that follow one another."""
    parts, draw = sentences(text), random.Random(seed)

    def passage() -> str:
        first, length = draw.randrange(len(parts)), 1
        while length < LONGEST_PASSAGE and draw.random() > SINGLE_SHARE:
            length += 1
        return " ".join(parts[first : first + length])

    return TextPool(tuple(passage() for _ in range(POOL_SIZE)))


def make_pool(kind: str, text: str, max_seq_len: int | None, seed: int) -> TextPool:
    """The pool of that kind, without token counts."""
    if kind == WORDS:
        return random_words(text, max_seq_len or UNLIMITED_WORDS, seed)
    return mixed_passages(text, seed)


def counted(pool: TextPool, count: Callable[[Sequence[str]], Sequence[int]] | None) -> TextPool:
    """The pool with the number of tokens of each text, if there is something that counts."""
    return pool if count is None else TextPool(pool.texts, tuple(count(pool.texts)))


def poisson_schedule(rate: float, duration_s: float, seed: int) -> list[float]:
    """Seconds from the start at which requests arrive, `rate` a second on average, independently of one another."""
    draw, times, now = random.Random(seed), [], 0.0
    while (now := now + draw.expovariate(rate)) < duration_s:
        times.append(now)
    return times
