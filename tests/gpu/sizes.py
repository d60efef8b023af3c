"""What is measured: sizes of models, lengths of texts, and the work in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LENGTHS = (32, 128, 512)
"""Tokens of each text."""

BATCH_TOKENS = 16_384
"""Of one batch, as a worker makes them on a GPU."""


@dataclass(frozen=True)
class Size:
    """A model: which tiny one it is like, and its sizes by the names of config.json."""

    name: str
    like: str
    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int

    def config(self) -> Mapping[str, int]:
        """What takes the place of the tiny model's sizes."""
        return {
            "hidden_size": self.hidden, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "intermediate_size": self.inner, "vocab_size": self.vocabulary, "max_position_embeddings": 514,
        }  # fmt: skip

    def operations(self, length: int) -> float:
        """Of the matrix products for one text of so many tokens, a multiplication and an addition each."""
        weights = self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.inner)
        attention = self.layers * 2 * length * self.hidden
        return 2.0 * length * (weights + attention)


SIZES = (
    Size("MiniLM", "bert_unigram", 384, 6, 12, 1536, 30_522),
    Size("BERT-base", "bert_unigram", 768, 12, 12, 3072, 30_522),
    Size("XLM-R-base", "xlm_roberta", 768, 12, 12, 3072, 250_002),
)
REHEARSAL = (Size("rehearsal", "bert_unigram", 48, 2, 4, 96, 1_000),)

PEAKS_TFLOPS = {
    "H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0, "A10": 125.0, "RTX 4090": 165.2,
}  # fmt: skip
"""bfloat16 products without sparsity, in 10^12 operations a second, as NVIDIA's data sheets have them."""


def peak_of(card: str) -> float | None:
    """The published peak of a card in operations a second, by its name; None if it is not known."""
    found = [peak for name, peak in PEAKS_TFLOPS.items() if name in card]
    return found[0] * 1e12 if found else None
