"""What every comparison of one run shares: how many rounds, how much work in each, the texts and the models."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from compare import checkpoint, texts
from compare.encoder import Encoder, encoder_in, minilm
from compare.table import PeerResult


@dataclass(frozen=True)
class Sizes:
    """How much is done in one round."""

    legacy_bulk: int = 2048
    bulk: int = 1024
    singles: int = 60
    many_calls: int = 16
    mixed_calls: int = 20
    mixed_bulk: int = 1024
    layers: int = 12
    product_calls: int = 2
    rank_calls: int = 8
    messages: int = 4096
    message_calls: int = 32
    message_bulks: int = 16


QUICK = Sizes(
    legacy_bulk=192, bulk=192, singles=10, many_calls=2, mixed_calls=3, mixed_bulk=192, layers=2, product_calls=1,
    rank_calls=2,
    message_calls=4, message_bulks=2,
)  # fmt: skip
CLIENTS = 32
MESSAGE_CLIENTS = 64


@dataclass
class Setup:
    """One run. `folder` is temporary: models and files of texts go there, each when it is asked for.

    `model` is a folder that takes MiniLM's place in rows 6 to 9, if it is given.
    """

    rounds: int
    sizes: Sizes
    folder: Path
    model: Path | None = None
    peers: list[PeerResult] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    measured: dict[str, list[float]] = field(default_factory=dict)

    def record(self, what: str, figure: float, unit: str) -> None:
        """Show a figure as it comes, and keep it for the JSON."""
        self.measured.setdefault(f"{what} ({unit})", []).append(figure)
        print(f"  {what}: {figure:.4g} {unit}", flush=True)

    @cached_property
    def passages(self) -> list[str]:
        return texts.passages()

    @cached_property
    def texts(self) -> str:
        """A file with all passages."""
        return self._write("texts.json", self.passages)

    @cached_property
    def short_texts(self) -> str:
        """A file with the short ones."""
        return self._write("short.json", texts.sentences(self.passages))

    @cached_property
    def google_model(self) -> str:
        """MiniLM as 1.10 reads it."""
        return str(checkpoint.write_minilm(self.folder / "minilm"))

    @cached_property
    def encoder(self) -> Encoder:
        """What all rows are measured with that take a Hugging Face folder. Raises NoModel."""
        return minilm() if self.model is None else encoder_in(self.model, self.folder / "model")

    def _write(self, name: str, content: list[str]) -> str:
        path = self.folder / name
        path.write_text(json.dumps(content), "utf-8")
        return str(path)


def no_bfloat16() -> str:
    """Why bfloat16 is not compared here; empty if it is."""
    from compare.own_engine import has_dtypes

    if not has_dtypes():
        return "bert-serving-start has no -dtype"
    if not _flags() & {"avx512_bf16", "amx_bf16"}:
        return "this CPU has neither avx512_bf16 nor amx_bf16"
    return ""


def no_int8() -> str:
    """Why int8 is not compared here; empty if it is."""
    if not _flags() & {"avx512_vnni", "avx_vnni", "amx_int8"}:
        return "this CPU has neither avx512_vnni nor avx_vnni nor amx_int8"
    return ""


def _flags() -> set[str]:
    cpu = Path("/proc/cpuinfo")
    return set(cpu.read_text().split()) if cpu.exists() else set()
