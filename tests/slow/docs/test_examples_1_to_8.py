"""Examples 1 to 8 run as their first lines say, against a real server, and show what they are there for."""

from __future__ import annotations

import ast
import re
import runpy
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from folders import EXAMPLE
from ports import free_ports

from bert_serving.client import BertClient

SCRIPTS = sorted(path.name for path in EXAMPLE.glob("example[1-8]_*.py"))
MINILM = "-model_dir /models/all-MiniLM-L6-v2"
TOKENS = f"{MINILM} -pooling_strategy NONE -max_seq_len 32"


def run(script: str, *options: str, typed: str = "", timeout_s: float = 240) -> str:
    """What it prints."""
    command = [sys.executable, str(EXAMPLE / script), *options]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def of(server: Command) -> list[str]:
    """The options that name this server."""
    return ["-port", str(server.port), "-port_out", str(server.port_out)]


@pytest.fixture
def names_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """What a script defines; it finds its neighbours as it does when it is run."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    return lambda script: runpy.run_path(str(EXAMPLE / script), run_name="imported")


def test_there_are_eight() -> None:
    assert [script.partition("_")[0] for script in SCRIPTS] == [f"example{number}" for number in range(1, 9)]


@pytest.mark.parametrize("script", SCRIPTS)
def test_first_lines_say_how_to_run_it(script: str) -> None:
    page = ast.get_docstring(ast.parse((EXAMPLE / script).read_text("utf-8")), clean=False) or ""
    assert f"\n    python example/{script}" in page
    assert f"\n    bert-serving-start {MINILM}\n    python" in page or script == "example7_layers.py"


@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLE.glob("example*.py")))
def test_page_lists_it(script: str) -> None:
    assert f"\n| [`{script}`]({script})" in (EXAMPLE / "README.md").read_text("utf-8")


def test_headlines(names_in: Callable[[str], dict[str, Any]]) -> None:
    headlines, labels = names_in("headlines.py")["read_headlines"]()
    assert Counter(labels) == {"business": 60, "science": 60, "sports": 60, "health": 60}
    assert len(set(headlines)) == 240
    assert all(headline == headline.strip() and len(headline.split()) >= 3 for headline in headlines)


# The order is that of the servers: all that ask for one share it, until `tokens` at the end.


def test_encode(server_with: Callable[[str], Command]) -> None:
    shown = run("example1_encode.py", *of(server_with(MINILM)))
    lines = re.findall(r"^ *(\d+) texts -> (\(.+\)) +\d+\.\d\d s +\d+ sentences/s$", shown, re.MULTILINE)
    assert lines == [(f"{size}", f"({size}, 384)") for size in (1, 16, 256, 1024)], shown


def test_asynchronous(server_with: Callable[[str], Command]) -> None:
    shown = run("example2_asynchronous.py", *of(server_with(MINILM)))
    assert shown.splitlines()[:4] == [
        "sent a list of 64",
        "sent a list of 32",
        "sent a list of 1",
        "nothing fetched yet, 3 answers are due",
    ]
    assert sorted(re.findall("^fetched (.+), the answer to request ", shown, re.MULTILINE)) == [
        "(1, 384)",
        "(32, 384)",
        "(64, 384)",
    ]
    steps = [(int(taken), int(made)) for taken, made in re.findall(r"received (\d+) of (\d+) batches", shown)]
    assert [taken for taken, _ in steps] == [20, 40, 60, 80, 100]
    assert 20 < steps[0][1] < 100, "the first vectors came neither before the next batch was made nor after the last"
    assert steps[-1][1] == 100
    assert shown.count("each (8, 384)") == 5


def test_broadcast(server_with: Callable[[str], Command]) -> None:
    server = server_with(MINILM)
    with BertClient(**server.ports) as bc:
        num_before = bc.server_status["statistic"]["num_data_request"]
        shown = run("example3_broadcast.py", *of(server)).splitlines()
        assert bc.server_status["statistic"]["num_data_request"] - num_before == 3, "clones encode nothing themselves"
    assert [line for line in shown if line.startswith("encode")] == ["encode: (4, 384)"] * 3
    assert [line for line in shown if line.startswith("closest_pair")] == [
        "closest_pair: heard (4, 384), Heavy rain is on its way / Rain will be heavy tonight",
        "closest_pair: heard (4, 384), Add two spoons of sugar / Stir in a little sugar",
        "closest_pair: heard (4, 384), She plays the violin / My violin needs new strings",
    ]
    assert [line for line in shown if line.startswith("odd_one_out")] == [
        "odd_one_out: heard (4, 384), The cat sleeps all day",
        "odd_one_out: heard (4, 384), The train leaves at noon",
        "odd_one_out: heard (4, 384), Our roof has a hole",
    ]
    assert len(shown) == 9


def test_tf_data(server_with: Callable[[str], Command]) -> None:
    first, *batches, last = run("example4_tf_data.py", *of(server_with(MINILM))).splitlines()
    assert first == "a dataset of (None, 384) vectors, (None,) classes"
    assert [batch.partition(": ")[0] for batch in batches] == ["(32, 384)"] * 7 + ["(16, 384)"]
    counted: Counter[str] = Counter()
    for batch in batches:
        counted.update({label: int(count) for count, label in re.findall(r"(\d+) ([a-z]+)", batch)})
    assert counted == {"business": 60, "science": 60, "sports": 60, "health": 60}
    connections = re.fullmatch(r"encoded over (\d) connections", last)
    assert connections
    assert 2 <= int(connections[1]) <= 4, "several batches are under way at once"


def test_classifier(server_with: Callable[[str], Command]) -> None:
    *mistakes, last = run("example5_classifier.py", *of(server_with(MINILM))).splitlines()
    accuracy = re.fullmatch(r"trained on 160 headlines, accuracy on 80 others: (\d\.\d{3})", last)
    assert accuracy
    assert float(accuracy[1]) > 0.8
    assert len(mistakes) == round(80 * (1 - float(accuracy[1])))


def test_search_for_one_question(server_with: Callable[[str], Command]) -> None:
    shown = run("example8_search.py", "--query", "how do I make the service go away?", *of(server_with(MINILM)))
    first, *found = shown.splitlines()
    assert re.fullmatch(r"\d\d questions of docs/faq\.md are encoded", first)
    scores = [re.fullmatch(r"  (0\.\d\d)  .+", line) for line in found[:5]]
    assert all(scores), shown
    assert found[:5] == sorted(found[:5], reverse=True)
    assert re.fullmatch(r"  0\.\d\d  How do I stop the server\?", found[0])
    assert found[5] == ""
    assert found[6].startswith("Press Ctrl-C, send SIGTERM, run `bert-serving-terminate")


@pytest.mark.parametrize("end", ["", "\nwhere is the end?\n"], ids=["end-of-input", "empty-line"])
def test_search_asks_until_the_end(end: str, server_with: Callable[[str], Command]) -> None:
    typed = "is it possible to use it without a graphics card?\nwhy do all my sentences look alike?\n"
    shown = run("example8_search.py", *of(server_with(MINILM)), typed=typed + end)
    _, *answers, rest = shown.split("your question: ")
    assert len(answers) == 2, shown
    assert re.match(r"  0\.\d\d  Can it run on a machine without a GPU\?\n", answers[0])
    assert "\n\nYes, with `-cpu`" in answers[0]
    assert re.match(r"  0\.\d\d  Why is the cosine of any two sentences so high\?\n", answers[1])
    assert rest.strip() == ""


def test_search_reads_first_paragraphs(names_in: Callable[[str], dict[str, Any]]) -> None:
    page = "# FAQ\n\n### First?\x20\n\nYes. Or\nno.\n\nMore.\n\n### Second?\n\nNo.\n\n## Group\n\nText.\n"
    read_faq = names_in("example8_search.py")["read_faq"]
    assert read_faq(page) == [("First?", "Yes. Or\nno."), ("Second?", "No.")]
    assert read_faq("### Last?\n\nYes.\n") == [("Last?", "Yes.")]


def test_search_has_an_answer_to_every_question_of_the_page(names_in: Callable[[str], dict[str, Any]]) -> None:
    script = names_in("example8_search.py")
    page = script["FAQ"].read_text("utf-8")
    questions = re.findall(r"^### (.+)$", page, re.MULTILINE)
    faq = script["read_faq"](page)
    assert [question for question, _ in faq] == questions
    assert all(answer and not answer.startswith(("#", "<", "```")) for _, answer in faq)


def test_layers_are_in_order(
    names_in: Callable[[str], dict[str, Any]],
    minilm: Path,
    server_with: Callable[[str], Command],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = ["First do it", "then do it right", "then do it better"]
    server = server_with(MINILM)
    with BertClient(**server.ports) as bc:
        expected = bc.encode(texts)  # normalised, of the last layer
    script = names_in("example7_layers.py")
    port, port_out = map(str, free_ports(2))
    options = ["-model_dir", str(minilm), "-cpu", "-port", port, "-port_out", port_out]
    monkeypatch.setattr(sys, "argv", ["example7_layers.py", *options])
    layers = script["encode_in_layers"](texts, "REDUCE_MEAN", 6)
    lengths = [np.linalg.norm(layer, axis=1, keepdims=True) for layer in layers]
    near = [np.allclose(layer / length, expected, atol=1e-5) for layer, length in zip(layers, lengths, strict=True)]
    assert near == [False] * 5 + [True]
    assert not np.allclose(lengths[-1], 1, atol=1e-3), "vectors are shown as they are"


@pytest.mark.parametrize(
    ("options", "shape", "level"),
    [(MINILM, (384,), r"sentence, \[D\]"), (TOKENS, (32, 384), r"token, \[T, D\]")],
    ids=["sentences", "tokens"],
)
def test_tfrecord(
    options: str, shape: tuple[int, ...], level: str, server_with: Callable[[str], Command], tmp_path: Path
) -> None:
    path = tmp_path / "kept.tfrecord"
    wrote, read, records = run("example6_tfrecord.py", "-output", str(path), *of(server_with(options))).splitlines()
    numbers = ", ".join(map(str, shape))
    assert re.fullmatch(rf"wrote \(240, {numbers}\) to \S+, \d+\.\d MB: a vector for each {level}", wrote), wrote
    assert read == f"read back a dataset of {shape} vectors"
    assert records == "240 records, the last one of health; vectors are equal: True"
    assert path.stat().st_size > 240 * 4 * np.prod(shape)


@pytest.mark.timeout(600)  # it starts three servers
def test_layers(minilm: Path, tmp_path: Path) -> None:
    ports = [str(port) for port in free_ports(2)]
    options = [
        "-model_dir",
        str(minilm),
        "-cpu",
        "-port",
        ports[0],
        "-port_out",
        ports[1],
        "-output",
        "pictures/of/layers",
    ]
    shown = run("example7_layers.py", *options, timeout_s=500).splitlines()
    paths = [
        Path("pictures/of/layers", f"layers_{strategy}.png") for strategy in ("REDUCE_MEAN", "REDUCE_MAX", "CLS_TOKEN")
    ]
    assert shown == [f"{path}: 6 layers of (240, 384) vectors" for path in paths]
    pictures = [(tmp_path / path).read_bytes() for path in paths]
    for picture in pictures:
        assert struct.unpack(">II", picture[16:24]) == (1050, 800)  # width and height in the header of a PNG
        assert len(picture) > 40_000
    assert len(set(pictures)) == 3


def test_two_dimensions_of_a_plane(names_in: Callable[[str], dict[str, Any]]) -> None:
    """Points of a plane, somewhere in ten dimensions, come out as they lie on it; what is beside it is not seen."""
    random = np.random.default_rng(1)
    axes = np.linalg.qr(random.normal(size=(10, 10)))[0]
    plane = random.normal(size=(50, 2)) * [3, 2]
    points, share = names_in("example7_layers.py")["in_two_dimensions"](plane @ axes[:2] + 100)
    assert share == pytest.approx(1)
    between = np.linalg.norm(plane[:, None] - plane, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(points[:, None] - points, axis=-1), between, atol=1e-9)

    beside = plane @ axes[:2] + 0.5 * random.normal(size=(50, 1)) @ axes[2:3]
    points, share = names_in("example7_layers.py")["in_two_dimensions"](beside)
    assert 0.9 < share < 0.999
    assert np.var(points[:, 0]) > np.var(points[:, 1]) > 2
