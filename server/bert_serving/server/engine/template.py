"""The special tokens around a text or a pair, as the tokenizer itself puts them. No TensorFlow.

one text        [CLS] a ... [SEP]               <s> a ... </s>
a pair          [CLS] a ... [SEP] b ... [SEP]   <s> a ... </s> </s> b ... </s>
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bert_serving.server.engine.contract import Row

_PROBES = ("a", "1", ".", "e", "the", "\u4e00")
MOST_SPECIAL = 4
"""So that a text and its special tokens have room in the shortest sequence that can be asked for."""


@dataclass(frozen=True, slots=True)
class Template:
    """`gaps` are the ids before each text, and those after the last; `zeros` how many of each gap have type 0.

    `typed` says of each text whether its tokens have type 1.
    """

    gaps: tuple[tuple[int, ...], ...]
    zeros: tuple[int, ...]
    typed: tuple[bool, ...]

    @property
    def size(self) -> int:
        """How many special tokens there are."""
        return sum(map(len, self.gaps))

    def row(self, texts: Sequence[list[int]], *, truncated: bool) -> Row:
        """The row of so many texts as the template has."""
        ids = list(self.gaps[0])
        special = list(range(len(ids)))
        first_length = self.zeros[0]
        for text, gap, zeros, typed in zip(texts, self.gaps[1:], self.zeros[1:], self.typed, strict=True):
            ids += text
            special += range(len(ids), len(ids) + len(gap))
            ids += gap
            first_length += zeros + (0 if typed else len(text))
        return Row(ids, first_length, tuple(special), truncated)


def templates_of(tokenizer: Any) -> tuple[Template, Template]:
    """Those of a text and of a pair, by what a `tokenizers.Tokenizer` does. Raises ValueError with a sentence's end."""
    lengths = {text: len(tokenizer.encode(text, add_special_tokens=False).ids) for text in _PROBES}
    probe = next((text for text, length in lengths.items() if length), None)
    if probe is None:
        raise ValueError("makes no token of any text")
    single, pair = tokenizer.encode(probe), tokenizer.encode(probe, probe)
    return _template(single, [lengths[probe]]), _template(pair, [lengths[probe]] * 2)


def _template(encoding: Any, lengths: list[int]) -> Template:
    """By the encoding of texts of so many tokens."""
    ids, types, sides = encoding.ids, encoding.type_ids, encoding.sequence_ids
    if sorted(types) != types or not set(types) <= {0, 1}:
        raise ValueError(f"gives the type ids {types}, but only 0 and then 1 can be served")
    gaps: list[list[int]] = [[]]
    zeros, typed = [0], []
    expected = iter(range(len(lengths)))
    before = None
    for index, kind, side in zip(ids, types, sides, strict=True):
        if side is None:
            gaps[-1].append(index)
            zeros[-1] += kind == 0
        elif side != before:
            if side != next(expected, None):
                raise ValueError("puts texts in another order than the first and then the second, once each")
            gaps.append([])
            zeros.append(0)
            typed.append(kind == 1)
        before = side
    if [sides.count(side) for side in range(len(lengths))] != lengths:
        raise ValueError("puts a text into its template twice, or not at all")
    template = Template(tuple(map(tuple, gaps)), tuple(zeros), tuple(typed))
    if template.size > MOST_SPECIAL:
        raise ValueError(f"adds {template.size} special tokens, but at most {MOST_SPECIAL} can be served")
    return template
