"""Everybody who encodes the same bulk of texts in rows 6 to 9, asked in the same way: a service or an engine."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environments import CTRANSLATE2, ONNXRUNTIME, TORCH, Missing, Peer, python_of, versions_of

from compare.processes import Contestant, Server, environment, our_start
from compare.protocol import cores
from compare.setup import Setup

PREPARE_TIMEOUT_S = 600
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

    def bulk(self, count: int, save: Path | None = None) -> float:
        return float(self.load.ask("bulk", count=count, save=str(save) if save else "")["rate"])


Contender = InProcess | Service


def start_service(setup: Setup, opened: ExitStack, kind: str, *options: str) -> Service:
    """This server with all layers of MiniLM, asked by its own client."""
    model = ("-model_dir", setup.hugging_face_model, *ALL_LAYERS)
    dtype = ("-dtype", kind) if kind != "float32" else ()
    server = opened.enter_context(Server(our_start(), "-cpu", "-max_seq_len", "128", *model, *dtype, *options))
    ports = (str(server.port), str(server.port_out))
    load = opened.enter_context(Contestant(sys.executable, "load", *ports, setup.texts))
    load.ask("warm_up", count=64)
    return Service(f"service, {kind}", kind, load)


def start_own(setup: Setup, opened: ExitStack, kind: str) -> InProcess:
    """This server's engine without the server."""
    arguments = (setup.hugging_face_model, setup.texts, kind)
    return InProcess(
        f"bare engine, {kind}", kind, (opened.enter_context(Contestant(sys.executable, "own_engine", *arguments)),)
    )


def start_peer(setup: Setup, opened: ExitStack, peer: Peer, kinds: tuple[str, ...]) -> list[InProcess]:
    """A peer in both arrangements: one process with all cores, and a pinned process on each. Missing if it fails."""
    python = python_of(peer)
    setup.versions.update(versions_of(python, peer.shown))
    arguments = [setup.hugging_face_model, setup.texts, *_prepared(setup, peer, python, kinds)]
    module = f"peer_{peer.name}"
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
    return found


def _prepared(setup: Setup, peer: Peer, python: Path, kinds: tuple[str, ...]) -> list[str]:
    """Turn the model into the peer's own form; the peer's last arguments."""
    model, form = setup.hugging_face_model, str(setup.folder / peer.name)
    if peer is TORCH:
        return [",".join(kinds)]
    if peer is ONNXRUNTIME:
        form += ".onnx"
        _run([str(python), "-m", "compare.peer_onnxruntime", model, "--export", form], peer)
        return [form]
    _run([str(python.parent / "ct2-transformers-converter"), "--model", model, "--output_dir", form, "--force"], peer)
    return [form, ",".join(kinds)]


def _run(command: list[str], peer: Peer) -> None:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PREPARE_TIMEOUT_S)
    if done.returncode:
        raise Missing(f"{peer.name} does not take the model: {done.stderr.strip()[-300:]}")


def worst_cosine(vectors: Path, reference: Path) -> float:
    """The least cosine of a text's two vectors."""
    a, b = (np.load(path).astype(np.float64) for path in (vectors, reference))
    cosines: Any = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(cosines.min())


def _join(save: Path, parts: list[Path], count: int) -> None:
    loaded = [np.load(part) for part in parts]
    whole = np.empty((count, loaded[0].shape[1]), np.float32)
    for number, part in enumerate(loaded):
        whole[number :: len(loaded)] = part
    np.save(save, whole)
