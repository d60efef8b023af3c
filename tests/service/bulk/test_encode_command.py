"""`bert-serving-encode` as a person runs it: every format, every mistake in a file, and runs that are killed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from encode_command import ENCODE, TEXTS, Encode, where
from fake_engine import DIM, expected, fingerprint_of
from folders import TINY
from serving import Serve

from bert_serving.server import BertServer
from bert_serving.server.bulk.spool import Kind, Spool


@pytest.fixture
def run(tmp_path: Path) -> Encode:
    return Encode(tmp_path)


def test_npy(server: BertServer, run: Encode, tmp_path: Path) -> None:
    done = run("in.txt", "out.npy", *where(server))
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(TEXTS))
    assert "out.npy: 2500 vectors of shape [8], 0 skipped, 0 texts cut" in done.stdout
    assert "2500/2500" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.npy"]
    again = run("in.txt", "out.npy", *where(server))
    assert (again.returncode, again.stderr) == (
        1, "bert-serving-encode: error: out.npy already exists: name another file, or replace it with -overwrite\n"
    )  # fmt: skip
    assert run("in.txt", "out.npy", "-resume", *where(server)).stdout == "out.npy is complete\n"
    assert run("in.txt", "out.npy", "-overwrite", *where(server)).returncode == 0


def test_other_formats(server: BertServer, run: Encode, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("n,text\n" + "\n".join(f"{n},{text}" for n, text in enumerate(TEXTS)) + "\n")
    for name in ("out.npz", "out.jsonl", "out.parquet"):
        done = run("in.csv", name, *where(server))
        assert done.returncode == 0, done.stderr
    arrays = np.load(tmp_path / "out.npz")
    np.testing.assert_array_equal(arrays["embedding"], expected(TEXTS))
    assert arrays["index"].tolist() == list(range(2500))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["index"], line["text"]) for line in lines] == list(enumerate(TEXTS))
    np.testing.assert_array_equal(np.array([line["embedding"] for line in lines], np.float32), expected(TEXTS))
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict()
    assert table["text"] == TEXTS
    np.testing.assert_array_equal(np.array(table["embedding"], np.float32), expected(TEXTS))


BAD = {10: " ", 700: "!no-features", 701: "!no-features", 1200: "x" * (2 << 20), 2499: ""}


def test_texts_that_cannot_be_encoded(serve: Serve, run: Encode, tmp_path: Path) -> None:
    server = serve(max_msg_size=1)
    texts = [BAD.get(number, text) for number, text in enumerate(TEXTS)]
    (tmp_path / "bad.txt").write_text("\n".join(texts) + "\n")
    good = [number for number in range(2500) if number not in BAD]

    stopped = run("bad.txt", "out.npz", *where(server))
    assert stopped.returncode == 1
    assert "bad.txt, line 11: the text is blank; fix it, or continue with -resume and -on_error" in stopped.stderr
    assert not (tmp_path / "out.npz").exists()
    done = run("bad.txt", "out.npz", "-resume", "-on_error", "skip", *where(server))
    assert done.returncode == 0, done.stderr
    assert "10 of 2500 texts are already done" in done.stderr
    arrays = np.load(tmp_path / "out.npz")
    assert arrays["index"].tolist() == good
    np.testing.assert_array_equal(arrays["embedding"], expected([texts[number] for number in good]))
    assert "2495 vectors of shape [8], 5 skipped" in done.stdout
    for line, reason in ((11, "blank"), (701, "cannot be tokenized"), (702, "cannot be"), (1201, "-max_msg_size")):
        assert any(f"line {line}: " in shown and reason in shown for shown in done.stderr.splitlines()), line

    done = run("bad.txt", "out.npy", "-on_error", "zero", *where(server))
    assert done.returncode == 0, done.stderr
    rows = np.load(tmp_path / "out.npy")
    assert rows.shape == (2500, DIM)
    assert np.flatnonzero(~rows.any(axis=1)).tolist() == list(BAD)


def test_killed_and_resumed_it_has_every_row_once(serve: Serve, run: Encode, tmp_path: Path) -> None:
    server = serve(max_batch_size=8)
    texts = [f"!slow 0.002 {number}" for number in range(2500)]
    (tmp_path / "slow.txt").write_text("\n".join(texts))
    part = tmp_path / "out.npy.part"
    for times in (1, 2):
        more = ["-resume"] if times > 1 else []
        command = [*ENCODE, "slow.txt", "out.npy", "-batch_size", "50", *more, *where(server)]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (part.exists() and part.stat().st_size > (1 << 14) + times * 20_000):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with part.open("ab") as file:
        file.write(b"half a row")
    refused = run("slow.txt", "out.npy", *where(server))
    assert (refused.returncode, "continue it with -resume, or start over with -overwrite" in refused.stderr) == (
        1,
        True,
    )
    done = run("slow.txt", "out.npy", "-resume", *where(server))
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(texts))
    assert "are already done" in done.stderr


@pytest.mark.parametrize(
    "options",
    [{"max_seq_len": 77}, {"cased_tokenization": True}, {"model_dir": "another"}, {"dtype": "bfloat16"}],
    ids=str,
)
def test_what_was_begun_with_another_model_is_not_gone_on_with(
    server: BertServer, serve: Serve, run: Encode, tmp_path: Path, options: dict[str, Any]
) -> None:
    (tmp_path / "bad.txt").write_text("\n".join([*TEXTS, " "]))
    other = serve(**options)
    assert run("bad.txt", "out.npy", *where(server)).returncode == 1
    done = run("bad.txt", "out.npy", "-resume", *where(other))
    was, now = fingerprint_of(server.config), fingerprint_of(other.config)
    assert (done.returncode, f"was started with model = {was!r}, and now it is {now!r}" in done.stderr) == (1, True)


def test_a_full_disk(server: BertServer, run: Encode, tmp_path: Path) -> None:

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write fails, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 15, 1 << 15))

    full = run("in.txt", "out.npy", *where(server), preexec_fn=little_room)
    assert full.returncode == 1
    assert full.stderr.splitlines()[-1].endswith("fix that, then continue with -resume"), full.stderr
    done = run("in.txt", "out.npy", "-resume", *where(server))
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(TEXTS))


SEVERAL = {"a.txt": TEXTS[:700], "b.jsonl": TEXTS[700:720], "c.csv": TEXTS[720:1500]}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder with the files of SEVERAL."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(SEVERAL["a.txt"]))
    (folder / "b.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in SEVERAL["b.jsonl"]))
    (folder / "c.csv").write_text("text\n" + "\n".join(SEVERAL["c.csv"]))
    return folder


@pytest.mark.parametrize("given", ["texts", "texts/*", "file://{}/texts", "file://{}/texts/*"])
@pytest.mark.parametrize("output", ["out", "file://{}/out"])
def test_several_files(server: BertServer, run: Encode, texts: Path, given: str, output: str) -> None:
    there = texts.parent
    done = run(given.format(there), output.format(there), *where(server))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (there / "out").iterdir()) == ["a.npy", "b.npy", "c.npy"]
    for name, content in SEVERAL.items():
        np.testing.assert_array_equal(np.load(there / "out" / f"{name[0]}.npy"), expected(content))
    assert sorted(path.name for path in there.iterdir()) == ["in.txt", "out", "texts"]
    assert [line.split(": ")[0][-5:] for line in done.stdout.splitlines()] == ["a.npy", "b.npy", "c.npy"]


@pytest.mark.parametrize("output", ["out", "file://{}/out"])
def test_several_files_are_gone_on_with_where_they_ended(
    server: BertServer, run: Encode, texts: Path, output: str
) -> None:
    out = texts.parent / "out"
    output = output.format(texts.parent)
    (texts / "b.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*SEVERAL["b.jsonl"], " "]))
    stopped = run("texts", output, *where(server))
    assert "texts/b.jsonl, line 21: the text is blank; fix it" in stopped.stderr
    assert stopped.returncode == 1
    assert [path.name for path in out.iterdir() if path.suffix == ".npy"] == ["a.npy"]
    first = (out / "a.npy").stat().st_mtime_ns
    refused = run("texts", output, *where(server))
    assert (refused.returncode, "a.npy already exists" in refused.stderr) == (1, True)
    done = run("texts", output, "-resume", "-on_error", "skip", *where(server))
    assert done.returncode == 0, done.stderr
    assert "a.npy is complete" in done.stdout
    assert "20 of 21 texts are already done" in done.stderr
    assert (out / "a.npy").stat().st_mtime_ns == first
    for name, content in SEVERAL.items():
        np.testing.assert_array_equal(np.load(out / f"{name[0]}.npy"), expected(content))
    assert sorted(path.name for path in texts.parent.iterdir()) == ["in.txt", "out", "texts"]


def test_outputs_that_are_to_be_replaced_never_count_as_complete(server: BertServer, run: Encode, texts: Path) -> None:
    out = texts.parent / "out"
    assert run("texts", "out", *where(server)).returncode == 0
    (texts / "a.txt").write_text("new\n \n")
    (texts / "c.csv").write_text("text\nnew, too")
    stopped = run("texts", "out", "-overwrite", *where(server))
    assert stopped.returncode == 1
    done = run("texts", "out", "-resume", "-on_error", "skip", *where(server))
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(out / "a.npy"), expected(["new"]))
    np.testing.assert_array_equal(np.load(out / "c.npy"), expected(["new, too"]))


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["nothing.txt", "out.npy"], 1, "nothing.txt does not exist"),
        (["in.txt", "out.xyz"], 1, "give it a name that ends in .npy, .npz"),
        (["in.txt"], 2, "error: OUT is required; see -help"),
        (["in.txt", "out.npy", "-on_error", "shrug"], 2, "on_error"),
        (["in.txt", "out.npy", "-batch_size", "0"], 2, "must be a whole number of at least 1, not '0'"),
        (["in.txt", "out.npy", "-model_dir", "/nowhere"], 2, "/nowhere"),
        (["in.txt", "out.npy", "-engine", "ray"], 2, "-engine ray needs -model_dir"),
        (["in.txt", "out.npy", "-engine", "spark"], 2, "invalid choice: 'spark'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes(run: Encode, arguments: list[str], status: int, reason: str) -> None:
    failed = run(*arguments)
    assert failed.returncode == status, failed.stderr
    assert reason in failed.stderr.splitlines()[-1]
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("package", ["ray", "pandas"])
def test_without_ray(run: Encode, tmp_path: Path, package: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib import util\nfind = util.find_spec\n"
        f"util.find_spec = lambda name: None if name == {package!r} else find(name)\n"
    )
    arguments = ["in.txt", "out.npy", "-engine", "ray", "-model_dir", str(TINY)]
    path = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    failed = run(*arguments, env={**os.environ, "PYTHONPATH": os.pathsep.join(path)})
    reason = f"-engine ray needs {package}: pip install 'bert-serving-server[ray]'"
    assert (failed.returncode, failed.stderr) == (1, f"bert-serving-encode: error: {reason}\n")


def test_names_that_are_no_utf_8(server: BertServer, run: Encode, tmp_path: Path) -> None:
    """As old archives bring them."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in (b"caf\xe9.txt", b"plain.txt"):
        (texts / os.fsdecode(name)).write_text("one\ntwo\n")
    done = run("texts", "out", *where(server))
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert r"out/caf\xe9.npy: 2 vectors" in done.stdout
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == sorted([os.fsdecode(b"caf\xe9.npy"), "plain.npy"])
    again = run("texts", "out", "-resume", *where(server))
    assert again.stdout == "out/caf\\xe9.npy is complete\nout/plain.npy is complete\n"


def test_standard_input(server: BertServer, run: Encode, tmp_path: Path) -> None:
    for content, arguments in ((b"one\ntwo\n", []), (b"id;text\n1;one\n2;two\n", ["-input_format", "csv"])):
        with (tmp_path / "piped").open("wb") as piped:
            piped.write(content)
        with (tmp_path / "piped").open("rb") as piped:
            done = run("-", "out.npy", "-overwrite", *arguments, *where(server), stdin=piped)
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(["one", "two"]))


def test_standard_output(server: BertServer, run: Encode, tmp_path: Path) -> None:
    done = run("-", "-", *where(server), input="one\ntwo\n")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["one", "two"]
    np.testing.assert_array_equal(np.array([row["embedding"] for row in rows], np.float32), expected(["one", "two"]))
    assert "2 vectors of shape [8]" in done.stderr
    with (tmp_path / "out.npy").open("wb") as out:
        command = [*ENCODE, "in.txt", "-", "-output_format", "npy", *where(server)]
        subprocess.run(command, cwd=tmp_path, stdout=out, check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(TEXTS))


def test_several_files_do_not_fit_standard_output(server: BertServer, run: Encode, texts: Path) -> None:
    failed = run("texts", "-", *where(server))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "standard output takes the vectors of one file" in failed.stderr.splitlines()[-1]


def test_overwrite_begins_anew_where_a_run_did_not_finish(server: BertServer, run: Encode, tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    part = tmp_path / "out.npy.part"
    with Spool(part, about_of(tmp_path / "few.txt", server), (DIM,)) as spool:
        spool.append([Kind.ZERO], [None])
    refused = run("few.txt", "out.npy", *where(server))
    assert (refused.returncode, "start over with -overwrite" in refused.stderr) == (1, True)
    done = run("few.txt", "out.npy", "-overwrite", *where(server))
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(["one", "two"]))
    assert not part.exists()


def test_what_is_about_to_be_encoded_is_shown_first(server: BertServer, run: Encode, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text('{"text": "one"}\n{"text": "' + "x" * 500 + '"}\n')
    done = run("lines.txt", "out.npy", *where(server))
    shown = done.stderr.splitlines()[0]
    assert shown.startswith(
        "lines.txt: jsonl (read as jsonl because of how it begins; -input_format text overrides this)"
    )
    assert f"which begins: 'one', '{'x' * 60}...'" in shown


def test_a_file_that_changes_meanwhile_is_found_out(server: BertServer, run: Encode, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.txt"
    pipe.write_text("one\ntwo\n")
    with Spool(tmp_path / "out.npy.part", about_of(pipe, server), (DIM,)) as spool:
        spool.append([Kind.VECTOR] * 3, list(expected(["one", "two", "three"])))
    done = run("pipe.txt", "out.npy", "-resume", *where(server))
    assert done.returncode == 1
    assert "pipe.txt had 2 records at first, but 3 were read: the file has changed" in done.stderr


def about_of(path: Path, server: BertServer) -> dict[str, Any]:
    """As the spool of an earlier run says it."""
    return {"input_bytes": path.stat().st_size, "column": "text", "model": fingerprint_of(server.config)}


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("-delimiter", "ab", "must be one character"),
        ("-delimiter", '"', "must be one character"),
        ("-encoding", "nonsense", "an encoding that Python knows"),
        ("-encoding", "base64", "an encoding that Python knows"),
        ("-quotes", "maybe", "invalid choice"),
    ],
)
def test_options_of_reading(run: Encode, option: str, value: str, reason: str) -> None:
    done = run("in.txt", "out.npy", option, value)
    assert done.returncode == 2
    assert reason in done.stderr
