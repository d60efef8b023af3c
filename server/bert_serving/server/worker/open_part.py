"""A part that a worker has: what its request wants, and its rows as they come. Pure; the worker's loop keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bert_serving.client.options import NO_OPTIONS
from bert_serving.client.wire import name_of
from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.contract import Chunks, FloatArray
from bert_serving.server.message.assembly import Assembly
from bert_serving.server.message.messages import Part, Rows
from bert_serving.server.wanted import Wanted, wanted_of, width_of
from bert_serving.server.worker.chunk_means import ChunkMean, Segment
from bert_serving.server.worker.encoder import note, place
from bert_serving.server.worker.lanes import PlacedRow
from bert_serving.server.worker.tokenizing import Made

_T = TypeVar("_T")


@dataclass(slots=True)
class OpenPart:
    """`wanted` is None where the request says nothing of its own; `segments` are the views in a vector. It came at
    `begun_s`, and its last rows were made at `tokenized_s`, on the monotonic clock.
    """

    part: Part
    assembly: Assembly
    wanted: Wanted | None
    segments: tuple[Segment, ...] = ()
    _chunked: dict[int, ChunkMean] = field(default_factory=dict)
    """By position in the part: long texts of which chunks are still to come."""
    begun_s: float = 0.0
    tokenized_s: float = 0.0

    @staticmethod
    def of(config: ServerConfig, part: Part, now_s: float) -> OpenPart:
        """A part that has just come."""
        if part.envelope.options is NO_OPTIONS:
            return OpenPart(part, Assembly(part.count), None, begun_s=now_s, tokenized_s=now_s)
        wanted = wanted_of(config, part.envelope.options)
        segments = tuple(Segment(width_of(config, view), view.normalize) for view in wanted.views)
        return OpenPart(part, Assembly(part.count), wanted, segments, begun_s=now_s, tokenized_s=now_s)

    @property
    def has_chunks(self) -> bool:
        """Whether some of its rows are but parts of their texts."""
        return bool(self._chunked)

    def note(self, made: Made) -> None:
        """What became of a slice of the texts."""
        self.tokenized_s = made.at_s
        rows = made.rows or []
        note(self.assembly, made.first, rows, made.tokens)
        for index, row in enumerate(rows, made.first) if self.assembly.chunks else ():
            if isinstance(row, Chunks):
                self._chunked[index] = ChunkMean(row, self.segments)

    def put_chunk(self, row: PlacedRow, result: FloatArray | str) -> None:
        """Keep the vector of a chunk, until those of the others of its text are there."""
        if isinstance(result, str):
            place(self.assembly, [row.index], result)
        elif row.chunk is not None and (mean := self._chunked[row.index].put(row.chunk, result)) is not None:
            place(self.assembly, [row.index], mean[None])

    def as_rows(self, config: ServerConfig, model: str, fingerprint: str) -> Rows:
        """For the sink. `model` is the engine's fingerprint, and `fingerprint` that of what the request wants."""
        part, assembly = self.part, self.assembly
        packed, lengths = assembly.packed()
        rows = Rows(
            part.envelope,
            part.offset,
            part.count,
            num_tokens=assembly.num_tokens.tobytes(),
            dtype=name_of(packed.dtype),
            dim=packed.shape[1],
            pad_to=config.pad_to,
            fingerprint=fingerprint,
            lengths=lengths,
            tokens=[assembly.tokens.get(row, []) for row in range(part.count)] if assembly.tokens else None,
            truncated=sorted(assembly.truncated),
            failures=sorted(assembly.failures.items()),
            data=packed.data.cast("B") if packed.size else b"",
        )
        if self.wanted is None:
            return rows
        has_offsets = self.wanted.texts.offsets
        shows_tokens = has_offsets and config.show_tokens_to_client
        return replace(
            rows,
            model=model if model != fingerprint else "",
            pad_to=None if self.wanted.is_pooled else config.longest_padded,
            views=[segment.width for segment in self.segments] if part.envelope.options.views else (),
            offsets=self._by_row(assembly.offsets) if shows_tokens else None,
            ids=self._by_row(assembly.ids) if shows_tokens and assembly.ids else None,
            special=self._by_row(assembly.special) if shows_tokens and assembly.special else None,
            chunks=self._by_row(assembly.chunks) if has_offsets and assembly.chunks else None,
        )

    def _by_row(self, known: Mapping[int, Sequence[_T]]) -> list[Sequence[_T]]:
        return [known.get(row, ()) for row in range(self.part.count)]
