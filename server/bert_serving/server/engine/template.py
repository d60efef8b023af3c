"""The special tokens that a tokenizer puts around a text, and around the two texts of a pair. No TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Encoding, Tokenizer

from bert_serving.server.engine.tensors import first_line
from bert_serving.server.errors import StartError

Ids = tuple[int, ...]
_PROBES = ("a", "0", "the", "\u4e00", "\u3042", "\u0430", "!")
"""Texts of which a tokenizer knows one, or has a token for what it does not know."""


@dataclass(frozen=True)
class Template:
    """One text is `before`, its ids, `after`; a pair is `pair_before`, ids, `between`, ids, `pair_after`.

    `is_typed`: what follows `between` has type 1, all else 0.
    """

    before: Ids
    after: Ids
    pair_before: Ids
    between: Ids
    pair_after: Ids
    is_typed: bool

    @property
    def special(self) -> int:
        """How many special tokens one text gets."""
        return len(self.before) + len(self.after)

    @property
    def pair_special(self) -> int:
        """How many a pair gets."""
        return len(self.pair_before) + len(self.between) + len(self.pair_after)

    @staticmethod
    def of(tokenizer: Tokenizer) -> Template:
        """What its post-processor does with a text and with a pair. Raises StartError if that is nothing we know."""
        try:
            probe = _probe(tokenizer)
        except StartError:
            raise
        except Exception as error:  # the library has one kind for everything
            raise StartError(f"it encodes no text: {first_line(error)}") from error
        count = len(probe.ids)
        single = tokenizer.post_process(probe, None, True)
        texts = _texts(single, count)
        before, after = tuple(single.ids[: texts[0]]), tuple(single.ids[texts[-1] + 1 :])
        pair = tokenizer.post_process(probe, probe, True)
        texts = _texts(pair, 2 * count)
        begin, end, again = texts[0], texts[count - 1] + 1, texts[count]
        types = pair.type_ids
        is_typed = any(types)
        if types != [int(is_typed and place >= again) for place in range(len(types))]:
            raise StartError(
                f"its post_processor gives a pair the types {types}, and only 0 and, from there on, 1 can be"
            )
        ids = tuple(pair.ids)
        return Template(before, after, ids[:begin], ids[end:again], ids[texts[-1] + 1 :], is_typed)


def _probe(tokenizer: Tokenizer) -> Encoding:
    """Some text's encoding without special tokens."""
    for text in _PROBES:
        encoding = tokenizer.encode(text, add_special_tokens=False)
        if encoding.ids:
            return encoding
    raise StartError(f"it makes no token of {', '.join(map(repr, _PROBES))}")


def _texts(encoding: Encoding, count: int) -> list[int]:
    """Where the tokens of the texts are, of which there are so many."""
    places = [place for place, is_special in enumerate(encoding.special_tokens_mask) if not is_special]
    if len(places) != count:
        raise StartError("its post_processor changes the texts themselves")
    return places
