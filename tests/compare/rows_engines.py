"""Rows 6 to 9 and 15: this server and its bare engine against engines in process, same texts, all layers of one
encoder.

That is MiniLM, or what `--model` names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from environments import CTRANSLATE2, ONNXRUNTIME, Missing, Peer

from compare.agreement import cosines, worst_cosine
from compare.contenders import (
    CHECKED_TEXTS,
    KINDS,
    Contender,
    InProcess,
    start_own,
    start_peer,
    start_service,
)
from compare.setup import Setup, no_bfloat16, no_int8
from compare.table import QUALITY, PeerResult, Row, Side, fastest, good_enough

TOGETHER = True
"""One group of servers is measured for all rows."""

INT8 = 15
TITLES = {
    6: "bulk through the service, all layers, float32, vs the fastest float32 engine in process",
    7: f"the same, bfloat16, vs the fastest engine in process whose worst cosine is above {QUALITY}",
    8: "one sentence, engine alone, p50, vs ONNX Runtime",
    9: "bulk through the service vs the bare engine, float32",
    INT8: "bulk through the service, int8, vs CTranslate2 in int8",
}
WARM_UP_TEXTS, WARM_UP_SENTENCES = 64, 5
"""What comes before all that counts: whoever loaded a moment ago is not at rest yet."""

Figures = dict[str, list[float]]


class Field:
    """All contenders of the wanted rows, and what came of them."""

    def __init__(self, setup: Setup, wanted: set[int], opened: ExitStack) -> None:
        self._setup = setup
        self._wanted = wanted
        self.short_floats_missing = no_bfloat16()
        kinds = ["float32"] if self.short_floats_missing else ["float32", "bfloat16"]
        self.int8_missing = no_int8()
        rows_of = {"float32": {6, 7, 9, INT8}, "bfloat16": {7, INT8}}
        self.services = [start_service(setup, opened, kind) for kind in kinds if wanted & rows_of[kind]]
        if INT8 in wanted and not self.int8_missing:
            self.services.append(start_service(setup, opened, "int8"))
        self.own = [start_own(setup, opened, kind) for kind in kinds if wanted & ({8, 9} if kind == "float32" else {8})]
        self.peers: list[InProcess] = []
        self.notes: dict[str, str] = {}
        """By the names of peers: why one is not here, or what is to be known of it."""
        for peer, peer_kinds in KINDS.items():
            is_int8 = INT8 in wanted and peer is CTRANSLATE2
            if wanted & {6, 7} or (peer is ONNXRUNTIME and 8 in wanted) or is_int8:
                self._start(peer, peer_kinds if 7 in wanted or is_int8 else peer_kinds[:1], opened)
        self.rates: Figures = defaultdict(list)
        self.singles: dict[str, Figures] = {"before": defaultdict(list), "after": defaultdict(list)}

    def _start(self, peer: Peer, kinds: tuple[str, ...], opened: ExitStack) -> None:
        reference = self._reference  # what we fail at is nothing that the peer cannot do
        try:
            found, note = start_peer(self._setup, opened, peer, kinds, reference)
        except Missing as error:
            found, note = [], str(error)
        self.peers += found
        if note:
            self.notes[peer.name] = note
            print(f"  {note}", flush=True)

    @cached_property
    def _reference(self) -> Path:
        """The file with our own vectors of some texts, in float32, that a peer's have to be like."""
        file = self._setup.folder / "reference.npy"
        if self.services:
            self.services[0].bulk(CHECKED_TEXTS, file)
        else:
            with ExitStack() as once:
                start_own(self._setup, once, "float32").bulk(CHECKED_TEXTS, file)
        return file

    def measure(self) -> None:
        """Single sentences before bulk work, bulk work, and single sentences after it."""
        bulky: list[Contender] = [*self.services, *self.own, *self.peers]
        if 8 in self._wanted:
            self._measure_singles("before")
        for contender in bulky:
            contender.bulk(WARM_UP_TEXTS)
        for number in range(self._setup.rounds):
            for contender in bulky:
                save = None if number else self.vectors_of(contender.name)
                rate = contender.bulk(self._setup.sizes.bulk, save)
                self.rates[contender.name].append(rate)
                self._setup.record(f"bulk, {contender.name}", rate, "texts/s")
        if 8 in self._wanted:
            self._measure_singles("after")

    def _measure_singles(self, when: str) -> None:
        runtime = [peer for peer in self.peers if peer.name.startswith(ONNXRUNTIME.name)]
        for contender in [*self.own, *runtime]:
            contender.single(WARM_UP_SENTENCES)
        for _ in range(self._setup.rounds):
            for contender in [*self.own, *runtime]:
                took_ms = contender.single(self._setup.sizes.singles)
                self.singles[when][contender.name].append(took_ms)
                self._setup.record(f"one sentence {when} bulk, {contender.name}", took_ms, "ms")

    def vectors_of(self, name: str) -> Path:
        """The file with the vectors that somebody computed in the first round."""
        return self._setup.folder / ("".join(c if c.isalnum() else "-" for c in name) + ".npy")

    def rate(self, name: str) -> Side:
        return Side(name, tuple(self.rates[name]))

    def cosine(self, name: str, kind: str) -> float:
        """The worst cosine of a short float's vectors to those of the same contender in float32."""
        return worst_cosine(self.vectors_of(name), self.vectors_of(name.replace(kind, "float32")))

    def loss(self, name: str, kind: str) -> str:
        """How near those vectors are to the float32 ones, for a note."""
        near = cosines(self.vectors_of(name), self.vectors_of(name.replace(kind, "float32")))
        return f"{name.split(',')[0]}: worst cosine to its float32 {near.min():.5f}, mean {near.mean():.5f}"

    def peer_results(self) -> list[PeerResult]:
        """Each peer and numeric type at its better arrangement, the fastest first."""
        groups: dict[str, list[InProcess]] = defaultdict(list)
        for peer in self.peers:
            groups[peer.name.split(",")[0]].append(peer)
        results = []
        for members in groups.values():
            best = fastest([self.rate(member.name) for member in members])
            kind = members[0].kind
            worst = None if kind == "float32" else self.cosine(best.name, kind)
            results.append(PeerResult(best.name, best, worst, kind))
        return sorted(results, key=lambda result: -result.side.median)


def rows(setup: Setup, wanted: set[int]) -> list[Row]:
    """Peers that are not here are left out, and the note says so."""
    with ExitStack() as opened:
        field = Field(setup, wanted, opened)
        field.measure()
    setup.peers = field.peer_results() if wanted & {6, 7} else []
    makers: dict[int, Callable[[], list[Row]]] = {
        6: lambda: [_float32(field, setup.peers)],
        7: lambda: [_short_floats(field, setup.peers)],
        8: lambda: [_single(field, "8a", "before"), _single(field, "8b", "after")],
        9: lambda: [_over_engine(field)],
        INT8: lambda: _int8(field),
    }
    return [row for number in sorted(wanted) for row in makers[number]()]


def _float32(field: Field, peers: list[PeerResult]) -> Row:
    rivals = [peer.side for peer in peers if peer.worst_cosine is None]
    if not rivals:
        return Row("6", TITLES[6], note="; ".join(field.notes.values()))
    ours = field.rate(field.services[0].name)
    return Row("6", TITLES[6], "texts/s", ours, fastest(rivals), note="; ".join(field.notes.values()))


def _short_floats(field: Field, peers: list[PeerResult]) -> Row:
    if field.short_floats_missing:
        return Row("7", TITLES[7], note=field.short_floats_missing)
    name = field.services[1].name
    worst = field.cosine(name, "bfloat16")
    note = f"worst cosine to its float32: {worst:.6f}"
    if not worst > QUALITY:
        note += f", NOT above {QUALITY}, so others in bfloat16 need not be either"
    rivals = good_enough(peers, worst)
    other = fastest(rivals) if rivals else None
    return Row("7", TITLES[7], "texts/s", field.rate(name), other, note="; ".join([note, *field.notes.values()]))


def _single(field: Field, number: str, when: str) -> Row:
    title = f"{TITLES[8]}, {when} bulk work"
    sides = [Side(name, tuple(figures)) for name, figures in field.singles[when].items()]
    own = [side for side in sides if side.name.startswith("bare engine")]
    runtime = [side for side in sides if side not in own]
    about = field.notes.get(ONNXRUNTIME.name, "")
    if not runtime:
        return Row(number, title, note=about)
    best, other = (min(those, key=lambda side: side.median) for those in (own, runtime))
    note = "; ".join(filter(None, [f"the better: {best.name}", about]))
    return Row(number, title, "ms", best, other, less_is_better=True, note=note)


def _int8(field: Field) -> list[Row]:
    """Beside CTranslate2 in int8, and beside this server in the other types."""
    if field.int8_missing:
        return [Row(str(INT8), TITLES[INT8], note=field.int8_missing)]
    ours = next(service.name for service in field.services if service.kind == "int8")
    notes = [field.loss(ours, "int8")]
    rivals = [peer.name for peer in field.peers if peer.kind == "int8"]
    other = fastest([field.rate(name) for name in rivals]) if rivals else None
    if other:
        notes.append(field.loss(other.name, "int8"))
    rows = [Row(f"{INT8}a", TITLES[INT8], "texts/s", field.rate(ours), other, note="; ".join(notes))]
    for letter, service in zip("bc", [one for one in field.services if one.kind != "int8"], strict=False):
        title = f"the same, vs this server in {service.kind}"
        rows.append(Row(f"{INT8}{letter}", title, "texts/s", field.rate(ours), field.rate(service.name)))
    return rows


def _over_engine(field: Field) -> Row:
    return Row("9", TITLES[9], "texts/s", field.rate(field.services[0].name), field.rate(field.own[0].name))
