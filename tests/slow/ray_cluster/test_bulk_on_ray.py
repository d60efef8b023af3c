"""`bert-serving-encode -engine ray`: the vectors of the local run, whatever dies on the way, and every failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_engine import DIM, expected, vector_of
from folders import SUPPORT, TINY
from ray_machines import STORE_BYTES, Machines, add_machine
from serving import fake_config

from bert_serving.server import StartError
from bert_serving.server.bulk.encoding import Block, Rest
from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.formats import Reading
from bert_serving.server.bulk.locations import LocalPath
from bert_serving.server.bulk.records import open_source

pytestmark = pytest.mark.filterwarnings("default")  # Ray has warnings of its own

ENCODE = [sys.executable, "-m", "bert_serving.server.cli.encode"]
FAKE_ENCODE = [sys.executable, str(SUPPORT / "fake_encode.py")]
Report = Callable[[Block], None]


def rests_of(folder: Path, *files: list[str], done: int = 0) -> list[Rest]:
    rests = []
    for number, texts in enumerate(files):
        path = folder / f"{number}.txt"
        path.write_text("\n".join(texts))
        rests.append(Rest(open_source(LocalPath(path), Reading()), done))
    return rests


def encode(
    cluster: Machines, rests: list[Rest], after_each: Report = lambda block: None, **options: Any
) -> list[Block]:
    """All blocks, file after file, by two actors with the fake engine."""
    from bert_serving.server.bulk.on_ray import ray_encoder

    config = fake_config(**{"ray_address": cluster.address, "num_worker": 2, **options})
    blocks = []
    with ray_encoder(config, rests, batch_size=50) as encoder:
        assert encoder.shape[-1] == DIM
        for number in range(len(rests)):
            for block in encoder.blocks(number):
                blocks.append(block)
                after_each(block)
    return blocks


def vectors_of(blocks: list[Block]) -> Any:
    return np.stack([vector for block in blocks for vector in block.vectors])


def actors() -> list[dict[str, Any]]:
    """Those that encode, of the job that this process runs or of one that it watches."""
    from ray._private.state import state

    table = state.actor_table(None).values()
    return [one for one in table if one["State"] == "ALIVE" and "MapWorker" in one["ActorClassName"]]


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200, check=False)


def test_files_in_order_by_actors_on_several_machines(cluster: Machines, tmp_path: Path) -> None:
    files = [
        [f"!slow 0.002 file {number}, text {text}" for text in range(size)] for number, size in enumerate((720, 0, 30))
    ]
    machines: set[str] = set()
    blocks = encode(
        cluster, rests_of(tmp_path, *files), lambda block: machines.update(one["Address"]["NodeID"] for one in actors())
    )
    assert [record.line for block in blocks for record in block.records] == [*range(1, 721), *range(1, 31)]
    np.testing.assert_array_equal(vectors_of(blocks), expected(files[0] + files[2]))
    assert len(machines) == 2


def test_only_the_rest_is_encoded(cluster: Machines, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(130)]
    blocks = encode(cluster, rests_of(tmp_path, texts, done=77))
    assert [record.line for block in blocks for record in block.records] == list(range(78, 131))


@pytest.mark.parametrize("death", ["actor", "machine"])
def test_nothing_is_lost_when_actors_and_machines_die(cluster: Machines, tmp_path: Path, death: str) -> None:
    texts = [f"!slow 0.002 {death} {number}" for number in range(1500)]
    deaths: list[str] = []

    def kill_once(block: Block) -> None:
        if deaths:
            return
        deaths.append(death)
        if death == "actor":
            os.kill(actors()[0]["Pid"], 9)
        else:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            add_machine(cluster)

    # blocks of matrices are too large to travel with messages: they lie in the store of the machine that dies
    blocks = encode(cluster, rests_of(tmp_path, texts), kill_once, pooling_strategy="NONE", max_seq_len=300)
    assert [record.line for block in blocks for record in block.records] == list(range(1, 1501))
    for text, matrix in zip(texts, (one for block in blocks for one in block.vectors), strict=True):
        np.testing.assert_array_equal(matrix[: len(text)], np.repeat(vector_of(text)[None], len(text), 0))


def test_a_text_that_kills_processes_is_named(cluster: Machines, tmp_path: Path) -> None:
    machine = cluster.add_node(num_cpus=1, resources={"deadly": 1}, object_store_memory=STORE_BYTES)
    texts = [f"text {number}" for number in range(120)]
    texts[70] = "!die"
    blocks = encode(cluster, rests_of(tmp_path, texts), num_worker=1, ray_resources=["deadly=1"])
    cluster.remove_node(machine)
    troubles = [(block.records[place].line, reason) for block in blocks for place, reason in block.troubles.items()]
    assert troubles == [(71, "it crashes the process that encodes it")]
    good = [vector for block in blocks for vector in block.vectors if vector is not None]
    np.testing.assert_array_equal(np.stack(good), expected(texts[:70] + texts[71:]))


def test_a_driver_that_is_killed_leaves_no_actor_and_is_gone_on_with(cluster: Machines, tmp_path: Path) -> None:
    import ray

    texts = [f"!slow 0.002 {number}" if number % 500 else " " for number in range(3000)]
    (tmp_path / "in.txt").write_text("\n".join(texts))
    command = [*FAKE_ENCODE, "in.txt", "out.npz", "-engine", "ray", "-ray_address", cluster.address, "-num_worker", "2"]
    command += ["-model_dir", "fake", "-batch_size", "50", "-on_error", "skip"]
    part = tmp_path / "out.npz.part"
    for times in (1, 2):
        more = ["-resume"] if times > 1 else []
        process = subprocess.Popen([*command, *more], cwd=tmp_path, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (part.exists() and part.stat().st_size > (1 << 14) + times * 15_000):
            time.sleep(0.01)
        assert process.poll() is None
        process.kill()
        process.wait()
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        end_s = time.monotonic() + 60
        while actors():
            assert time.monotonic() < end_s, actors()
            time.sleep(0.1)
    finally:
        ray.shutdown()
    done = run(*command, "-resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "are already done" in done.stderr
    arrays = np.load(tmp_path / "out.npz")
    good = [number for number in range(3000) if number % 500]
    assert arrays["index"].tolist() == good
    np.testing.assert_array_equal(arrays["embedding"], expected([texts[number] for number in good]))


def test_the_same_vectors_as_the_local_run(cluster: Machines, tmp_path: Path) -> None:
    texts = [
        " ".join(["the second ||| of a pair", "hello world", "three"][: number % 3 + 1]) + f" {number}"
        for number in range(700)
    ]
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("\n".join([*texts[:300], "", "long " * 600]))
    (tmp_path / "texts" / "b.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts[300:]))
    model = ["-model_dir", str(TINY), "-cpu", "-on_error", "zero"]
    on_ray = ["-engine", "ray", "-ray_address", cluster.address, "-num_worker", "2"]
    for output, more in (("local", []), ("ray", on_ray)):
        done = run(*ENCODE, "texts", output, *model, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "a.npy: 302 vectors of shape [48], 0 skipped, 1 texts cut" in done.stdout
        assert "texts/a.txt, line 301: the text is blank" in done.stderr
    for name in ("a.npy", "b.npy"):
        local, ray = (np.load(tmp_path / folder / name) for folder in ("local", "ray"))
        np.testing.assert_allclose(ray, local, rtol=0, atol=1e-5)
        assert len({row.tobytes() for row in local}) > 100


def test_what_cannot_start_says_why(cluster: Machines, tmp_path: Path) -> None:
    rests = rests_of(tmp_path, ["one", "two"])
    room = r"Ray found no room for 2 worker\(s\) with CPU=1, nothing=1 each within 3 s .* the cluster has CPU=2 in all"
    with pytest.raises(StartError, match=room):
        encode(cluster, rests, ray_resources=["CPU=1", "nothing=1"], start_timeout=3)
    with pytest.raises(StartError, match=r"no Ray cluster can be joined at 127\.0\.0\.1:1 "):
        encode(cluster, rests, ray_address="127.0.0.1:1")
    with pytest.raises(StartError, match="the graph cannot be made"):
        encode(cluster, rests, model_dir="prepare-fails")
    with pytest.raises(StartError, match="the graph was not prepared within -start_timeout"):
        encode(cluster, rests, model_dir="prepare-hangs", start_timeout=2)
    with pytest.raises(BulkError, match=r"could not be loaded on the machine [\d.]+: the model cannot be loaded$"):
        encode(cluster, rests, model_dir="load-fails")


@pytest.mark.parametrize("version", ["1.9", None])
def test_a_machine_with_another_version(
    cluster: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    package = tmp_path / "other" / "bert_serving"
    (package / "server").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "server" / "__init__.py").write_text("" if version else "raise ModuleNotFoundError(__name__)")
    (package / "server" / "version.py").write_text(f"__version__ = {version!r}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "other"))
    machine = cluster.add_node(num_cpus=1, resources={"other": 1}, object_store_memory=STORE_BYTES)
    try:
        reason = f"has bert-serving-server {version}, and this job runs 2" if version else "has no bert-serving-server"
        with pytest.raises(BulkError, match=rf"^the machine [\d.]+ {reason}"):
            encode(cluster, rests_of(tmp_path, ["one"]), num_worker=1, ray_resources=["other=1"])
    finally:
        cluster.remove_node(machine)


def test_fewer_workers_than_asked_for(cluster: Machines, tmp_path: Path) -> None:
    blocks = encode(cluster, rests_of(tmp_path, ["one", "two"]), num_worker=3, min_worker=2, start_timeout=60)
    np.testing.assert_array_equal(vectors_of(blocks), expected(["one", "two"]))


def test_a_file_that_is_gone_when_its_turn_comes(cluster: Machines, tmp_path: Path) -> None:
    rests = rests_of(tmp_path, ["one"], ["two"])
    (tmp_path / "1.txt").unlink()
    found: list[Block] = []
    with pytest.raises(BulkError, match=r"1\.txt: No such file or directory"):
        encode(cluster, rests, found.append)
    np.testing.assert_array_equal(vectors_of(found), expected(["one"]))
