"""Everybody who encodes the same bulk of texts in rows 6 to 9 and 15, asked in the same way: a service or an engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from environments import CTRANSLATE2, ONNXRUNTIME, TORCH, Missing, Peer, python_of, versions_of

from compare.agreement import SAME_VECTORS, worst_cosine
from compare.encoder import with_positions
from compare.processes import Contestant, Server, environment, our_start
from compare.protocol import cores
from compare.setup import Setup

PREPARE_TIMEOUT_S = 600
CHECKED_TEXTS = 64
"""So many vectors of a peer have to be ours."""
ALL_LAYERS = ("-pooling_layer", "-1", "-no_normalize")
KINDS = {TORCH: ("float32", "bfloat16", "autocast"), ONNXRUNTIME: ("float32",), CTRANSLATE2: ("float32", "int8")}


@dataclass(frozen=True)
class InProcess:
    """An engine of one numeric type, in one process or in several that share the texts among them."""

    name: str
    kind: str
    members: tuple[Contestant, ...]

    def bulk(self, count: int, save: Path | None = None) -> float:
        """Texts a second. `save` gets the vectors in the order of the texts."""
        parts = [save.with_suffix(f".{number}.npy") if save else "" for number in range(len(self.members))]
        span = {"kind": self.kind, "stop": count, "step": len(self.members)}
        for number, (member, part) in enumerate(zip(self.members, parts, strict=True)):
            member.send("bulk", start=number, save=str(part), **span)
        answers = [member.answer() for member in self.members]
        if save:
            _join(save, [Path(part) for part in parts], count)
        shares = [len(range(number, count, len(self.members))) for number in range(len(self.members))]
        slowest_s: float = max(share / answer["rate"] for share, answer in zip(shares, answers, strict=True))
        return count / slowest_s

    def single(self, calls: int) -> float:
        """Milliseconds of one sentence."""
        return float(self.members[0].ask("single", kind=self.kind, calls=calls)["p50_ms"])


@dataclass(frozen=True)
class Service:
    """A running server and its load."""

    name: str
    kind: str
    load: Contestant

    def bulk(self, count: int, save: Path | None = None, asked: Mapping[str, Any] | None = None) -> float:
        """Texts a second. `asked` are options of the request."""
        answer = self.load.ask("bulk", count=count, save=str(save) if save else "", asked=asked or {})
        return float(answer["rate"])


Contender = InProcess | Service


def start_service(setup: Setup, opened: ExitStack, kind: str, *options: str) -> Service:
    """This server with all layers of the encoder, asked by its own client."""
    encoder = setup.encoder
    model = ("-model_dir", str(encoder.folder), *ALL_LAYERS, "-max_seq_len", str(encoder.tokens))
    dtype = ("-dtype", kind) if kind != "float32" else ()
    server = opened.enter_context(Server(our_start(), "-cpu", *model, *dtype, *options))
    ports = (str(server.port), str(server.port_out))
    load = opened.enter_context(Contestant(sys.executable, "load", *ports, setup.texts))
    load.ask("warm_up", count=64)
    return Service(f"service, {kind}", kind, load)


def start_own(setup: Setup, opened: ExitStack, kind: str) -> InProcess:
    """This server's engine without the server."""
    arguments = (str(setup.encoder.folder), str(setup.encoder.tokens), setup.texts, kind)
    return InProcess(
        f"bare engine, {kind}", kind, (opened.enter_context(Contestant(sys.executable, "own_engine", *arguments)),)
    )


def start_peer(
    setup: Setup, opened: ExitStack, peer: Peer, kinds: tuple[str, ...], reference: Path
) -> tuple[list[InProcess], str]:
    """A peer in both arrangements: one process with all cores, and a pinned process on each; and what to note of it.

    Raises Missing if it fails, or makes other vectors in float32 than those of CHECKED_TEXTS in the file `reference`.
    """
    python, module = python_of(peer), f"peer_{peer.name}"
    setup.versions.update(versions_of(python, peer.shown))
    form, note = _prepared(setup, peer, python)
    inputs = (tokenizer_of(setup, peer, python), setup.texts, form)
    # in a process that ends again: who is measured has not done any bulk work before
    with Contestant(python, module, *inputs, *_named(peer, kinds[:1])) as once:
        _check(setup, peer, InProcess(peer.name, kinds[0], (once,)), reference)
    arguments = (*inputs, *_named(peer, kinds))
    with ExitStack() as own:  # so that half a peer does not stay
        whole = own.enter_context(Contestant(python, module, *arguments))
        each = [own.enter_context(Contestant(python, module, *arguments, core=core)) for core in cores()]
        for kind in kinds:
            for member in (whole, *each):
                member.ask("warm_up", kind=kind)
        opened.push(own.pop_all())
    found = [InProcess(f"{peer.name} {kind}, 1 process x {len(each)} threads", kind, (whole,)) for kind in kinds]
    if len(each) > 1:
        found += [InProcess(f"{peer.name} {kind}, {len(each)} pinned processes", kind, tuple(each)) for kind in kinds]
    return found, note


def _named(peer: Peer, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The argument that says which numeric types to load; ONNX Runtime has one alone."""
    return () if peer is ONNXRUNTIME else (",".join(kinds),)


def tokenizer_of(setup: Setup, peer: Peer, python: Path) -> str:
    """The file of all peers, made by the first of them."""
    file, encoder = setup.folder / "tokenizer.json", setup.encoder
    if not file.exists():
        _run([str(python), "-m", "compare.peer_inputs", str(encoder.folder), str(encoder.tokens), str(file)], peer)
    return str(file)


def _prepared(setup: Setup, peer: Peer, python: Path) -> tuple[str, str]:
    """Turn the model into the peer's own form: where that is, and what to note of it."""
    model, form = str(setup.encoder.folder), str(setup.folder / peer.name)
    if peer is TORCH:
        return model, ""
    if peer is ONNXRUNTIME:
        form += ".onnx"
        return form, _run([str(python), "-m", "compare.peer_onnxruntime", "--export", model, form], peer)
    source = with_positions(setup.encoder.folder, setup.folder / f"{peer.name}-source")
    convert = str(python.parent / "ct2-transformers-converter")
    _run([convert, "--model", str(source), "--output_dir", form, "--force"], peer)
    return form, ""


def _run(command: list[str], peer: Peer) -> str:
    """What it prints. Raises Missing with the last line of its errors."""
    try:
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PREPARE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise Missing(f"{peer.name} did not take the model within {PREPARE_TIMEOUT_S} s") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["?"])[-1]
        raise Missing(f"{peer.name} does not take the model: {shorten(reason, 120)}")
    return done.stdout.strip()


def _check(setup: Setup, peer: Peer, contender: InProcess, reference: Path) -> None:
    file = setup.folder / f"{peer.name}-checked.npy"
    contender.bulk(CHECKED_TEXTS, file)
    try:
        worst = worst_cosine(file, reference)
    except ValueError as error:
        raise Missing(f"{peer.name} computes something else: {error}") from error
    setup.record(f"worst of {CHECKED_TEXTS} texts, {peer.name} and this server", worst, "cosine")
    if not worst > SAME_VECTORS:
        raise Missing(f"{peer.name} computes something else: the worst cosine to our vectors is {worst:.6f}")


def _join(save: Path, parts: list[Path], count: int) -> None:
    loaded = [np.load(part) for part in parts]
    whole = np.empty((count, loaded[0].shape[1]), np.float32)
    for number, part in enumerate(loaded):
        whole[number :: len(loaded)] = part
    np.save(save, whole)
