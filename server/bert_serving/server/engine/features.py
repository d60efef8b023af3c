"""Texts to rows of token ids, as a request wants them. No TensorFlow.

A text, or a pair, is enclosed in special tokens: see `template`. `sides` says what a pair is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from bert_serving.server.engine.contract import Chunks, Made, Row, Texts
from bert_serving.server.engine.offsets import NOWHERE, Side, Span, Words, offsets_of
from bert_serving.server.engine.prefixes import CHARACTERS_A_TOKEN
from bert_serving.server.engine.sides import (
    STEP,
    Sides,
    kept_lengths,
    sides_of,
    sides_of_pair,
    split_tokens,
    token_counts,
)
from bert_serving.server.engine.template import Template
from bert_serving.server.engine.tokenization import TextTokenizer, UnknownToken
from bert_serving.server.wanted import TextOptions

MOST_CHUNKS = 64
"""Of one text."""

_NO_TOKENS = "the text has no tokens, and -no_special_token adds none"
_NOTHING = "the text has no tokens, and the model's tokenizer adds none"
_NO_LEFT = "a pair cannot be cut on the left: use truncate 'right'"
_NO_ROOM = "the prompt leaves no room for a text: use a shorter one, or start the server with a larger -max_seq_len"

_AS_EVER = TextOptions()
_BARE = Template(((), ()), (0, 0), (False,))
"""Of one text, without special tokens."""

Ids = tuple[list[int], list[int]]
"""Ids of the first and of the second text; without a second one, the latter is empty."""
Kept = tuple[int, int]
"""How many of them stay."""


class FeatureMaker:
    """Makes rows of texts, of at most `limit` tokens. Without `include_prompt`, pooling leaves prompts out."""

    def __init__(
        self, tokenizer: TextTokenizer, limit: int, *, no_special_token: bool = False, include_prompt: bool = True
    ) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        self._enough = limit + 1  # tokens of a text: what follows them neither stays nor changes where a pair is cut
        self._no_special_token = no_special_token
        self._include_prompt = include_prompt

    def made(self, texts: Texts, how: TextOptions) -> list[Made]:
        """What happens to each text: a row, several, or a sentence that says why there is none."""
        if how.truncate == "chunks":
            return [self._chunks(text, how) for text in texts]
        return list(self.rows(texts, how))

    def rows(self, texts: Texts, how: TextOptions = _AS_EVER) -> list[Row | str]:
        """The same where no text becomes several rows.

        The prompt precedes each string, or the first text of a pair; tokens and token ids have none.
        """
        as_sides = sides_of_pair if how.is_pair else partial(sides_of, as_written=self._tokenizer.library_pairs)
        found = {index: as_sides(text) for index, text in enumerate(texts) if how.is_pair or isinstance(text, str)}
        sides = {index: one for index, one in found.items() if isinstance(one, Sides)}
        ids = dict(zip(sides, self._ids_of([*sides.values()], how), strict=True))
        left_out = 0 if self._include_prompt or not how.prompt else self._length_of(how.prompt)
        return [
            self._text_row(sides[index], ids[index], left_out, how)
            if index in sides
            else cast(str, found[index])
            if index in found
            else self._tokenized_row(cast(Sequence[str], text), how)
            for index, text in enumerate(texts)
        ]

    def _ids_of(self, sides: list[Sides], how: TextOptions) -> list[Ids]:
        """So many ids of each text as may stay, and one more."""
        if how.truncate == "left":
            return [self._last_ids(one, how.prompt) for one in sides]
        texts = [text for one in sides for text in (how.prompt + one.first, one.second)]
        ids = iter(self._tokenizer.first_ids(texts, self._enough))
        return list(zip(ids, ids, strict=True))

    def _text_row(self, sides: Sides, ids: Ids, prompt: int, how: TextOptions) -> Row | str:
        """So many tokens of a prompt are left out of pooling; fewer where a text goes on in its prompt's last word."""
        if sides.second and how.truncate == "left":
            return _NO_LEFT
        single = self._tokenizer.single
        kept = self._kept(ids, partial(self._lengths, sides, how.prompt), how, single)
        row = self._row(ids, kept, how, single)
        if isinstance(row, str):
            return row
        if how.offsets:
            row = replace(row, offsets=self._offsets(row, sides, kept, how))
        return replace(row, prompt=min(prompt, row.length - 1)) if prompt else row  # one is always left to pool

    def _lengths(self, sides: Sides, prompt: str) -> tuple[int, int]:
        """How many tokens both sides have, all of them."""
        first, second = self._tokenizer.encode((prompt + sides.first, sides.second))
        return len(first), len(second)

    def _length_of(self, prompt: str) -> int:
        """How many tokens a prompt has: those of a row with it alone, but for the special ones at the end."""
        ids = self._tokenizer.first_ids([prompt], self._enough)[0]
        template = self._tokenizer.single
        return len(template.gaps[0]) + min(len(ids), max(0, self._limit - template.size))

    def _own_length_of(self, prompt: str) -> int:
        """How many tokens it has by itself, without special ones."""
        return len(self._tokenizer.encode([prompt])[0]) if prompt else 0

    # -- what stays of a text -----------------------------------------------------------------------------------------

    def _kept(self, ids: Ids, lengths: Callable[[], tuple[int, int]], how: TextOptions, single: Template) -> Kept:
        """`lengths` tells how many tokens the sides have beyond those that are here; `single` is for a text alone."""
        first, second = ids
        room = max(0, self._limit - (self._tokenizer.pair if second else single).size)
        if not second:
            return min(len(first), room), 0
        if how.truncate == "second":
            return min(len(first), room - 1), min(len(second), max(1, room - len(first)))
        numbers, library = (len(first), len(second)), self._tokenizer.library_pairs
        if library and room % 2 and min(numbers) == self._enough:
            numbers = lengths()
        return kept_lengths(*numbers, room, library=library)

    def _row(self, ids: Ids, kept: Kept, how: TextOptions, single: Template) -> Row | str:
        first, second = ids
        is_cut = sum(kept) < len(first) + len(second)
        if is_cut and how.truncate == "error":
            return f"the text has more than {self._limit} tokens, and truncate is 'error': send a shorter one"
        if not kept[0] and not second and not single.size:
            return _NO_TOKENS if single is _BARE else _NOTHING
        if how.truncate == "left":
            texts = [side[len(side) - number :] for side, number in zip(ids, kept, strict=True)]
        else:
            texts = [side[:number] for side, number in zip(ids, kept, strict=True)]
        if not second or (not kept[1] and not self._tokenizer.library_pairs):
            return single.row(texts[:1], truncated=is_cut)
        return self._tokenizer.pair.row(texts, truncated=is_cut)

    def _last_ids(self, sides: Sides, prompt: str) -> Ids:
        """Those of a text, or of a bounded end of it. If something is cut, the prompt stays before the rest."""
        end = sides.end(self._limit)
        (ids,) = self._tokenizer.encode([prompt + end.first])
        if not prompt or (end == sides and len(ids) <= self._room):
            return ids, []
        before, rest = self._tokenizer.encode([prompt, end.first])
        # one more than may stay, which tells that something is cut
        return before[:1] + before + rest[-max(1, self._room - len(before)) :], []

    @property
    def _room(self) -> int:
        """Of a single text."""
        return self._limit - self._tokenizer.single.size

    # -- where things stand -------------------------------------------------------------------------------------------

    def _offsets(self, row: Row, sides: Sides, kept: Kept, how: TextOptions) -> tuple[Span, ...]:
        """Of each token of a row."""
        special = set(row.special)
        places = [place for place in range(row.length) if place not in special]
        is_end = how.truncate == "left" and row.truncated
        looked_at = sides.end(self._limit) if is_end else sides
        prompt = "" if is_end else how.prompt
        texts = (prompt + looked_at.first, len(prompt)), (looked_at.second, 0)
        offsets = [NOWHERE] * row.length
        begin = self._own_length_of(how.prompt) if is_end else 0
        mine = places[begin : kept[0]], places[kept[0] :]
        for those, (text, skipped), at in zip(mine, texts, looked_at.begins, strict=True):
            side = Side(text, skipped, at, [row.ids[place] for place in those], is_end)
            for place, span in zip(those, offsets_of(self._tokenizer, side), strict=True):
                offsets[place] = span
        return tuple(offsets)

    def _chunks(self, text: Any, how: TextOptions) -> Made:
        """A text in chunks that end with words, each as if it had been sent alone."""
        if not isinstance(text, str):
            return "a list of tokens cannot be cut into chunks: use truncate 'right'"
        sides = sides_of(text, as_written=True)
        if isinstance(sides, str):
            return sides
        if sides.second:
            return "a pair cannot be cut into chunks: use truncate 'right'"
        words = Words(self._tokenizer, text[: MOST_CHUNKS * self._limit * CHARACTERS_A_TOKEN])
        room = self._room - self._own_length_of(how.prompt)
        if room < 1:
            return _NO_ROOM
        how = replace(how, truncate="right")
        if not len(words):
            return self.rows([text], how)[0]
        rows: list[Row] = []
        spans: list[Span] = []
        begin = 0
        while begin < len(words) and len(rows) < MOST_CHUNKS:
            row, end = self._chunk(words, begin, room, how)
            if isinstance(row, str):
                return row
            rows.append(row)
            spans.append(words.span(begin, end))
            begin = end
        return Chunks(tuple(rows), tuple(spans), begin < len(words) or len(words.text) < len(text))

    def _chunk(self, words: Words, begin: int, room: int, how: TextOptions) -> tuple[Row | str, int]:
        """The next one, and where it ends. By itself it may have more tokens than in the text: then it is shorter."""
        while True:
            end = words.end_of_chunk(begin, room)
            first, last = words.span(begin, end)
            row = self.rows([words.text[first:last]], how)[0]
            if isinstance(row, str):
                return row, end
            if not row.truncated or end == begin + 1:
                moved = ((at + first, to + first) if to else NOWHERE for at, to in row.offsets)
                return replace(row, offsets=tuple(moved)), end
            room = end - begin - 1

    # -- tokens and ids -----------------------------------------------------------------------------------------------

    def _tokenized_row(self, tokens: Sequence[str] | Sequence[int], how: TextOptions) -> Row | str:
        if how.names_prompt or how.offsets:
            option = "prompt" if how.names_prompt else "offsets"
            return f"{option} is for texts, but this is a list of tokens: omit it"
        try:
            ids = self._ids(tokens, how)
        except UnknownToken as error:
            return f"the vocabulary has no token {str(error)!r}, and no unknown token to replace it"
        if isinstance(ids, str):
            return ids
        single = _BARE if self._no_special_token else self._tokenizer.single
        kept = self._kept(ids, lambda: token_counts(cast(Sequence[str], tokens)), how, single)
        return self._row(ids, kept, how, single)

    def _ids(self, tokens: Sequence[str] | Sequence[int], how: TextOptions) -> Ids | str:
        from_end = how.truncate == "left"
        if not tokens or not isinstance(tokens[0], int):
            first, second = split_tokens(cast(Sequence[str], tokens), len(tokens) if from_end else self._enough)
            if second and from_end:
                return _NO_LEFT
            return self._tokenizer.ids(first[-self._enough :] if from_end else first), self._tokenizer.ids(second)
        ids = cast(Sequence[int], tokens)
        strange = self._strange_id(ids)
        if strange is not None:
            return f"the vocabulary has token ids 0 to {self._tokenizer.size - 1}, not {strange}"
        return list(ids[-self._enough :] if from_end else ids[: self._enough]), []

    def _strange_id(self, ids: Sequence[int]) -> int | None:
        """The first id that is no token's."""
        size, gaps = self._tokenizer.size, self._tokenizer.has_gaps
        for begin in range(0, len(ids), STEP):
            some = ids[begin : begin + STEP]
            if gaps or min(some) < 0 or max(some) >= size:
                found = next((index for index in some if not self._tokenizer.is_token(index)), None)
                if found is not None:
                    return found
        return None
