"""Examples 9 to 15 run as their first lines say, against a real server, and show what they are there for."""

from __future__ import annotations

import ast
import importlib
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import httpx
import numpy as np
import pytest
from command import Command
from folders import EXAMPLE, TINY
from gateway_support import wait_until_ready
from ports import free_ports, is_free
from sklearn.base import clone

from bert_serving.client import BertClient

TIMEOUT_S = 240


def commands_of(script: str) -> list[str]:
    """The commands in the first lines of a script."""
    page = ast.get_docstring(ast.parse((EXAMPLE / script).read_text("utf-8"))) or ""
    return re.findall(r"^    (\w.+)$", page.replace("\\\n", ""), re.MULTILINE)


def options_of(script: str) -> str:
    """Those of the server that a script is for."""
    [command] = [command for command in commands_of(script) if command.startswith("bert-serving-start ")]
    return command.removeprefix("bert-serving-start ")


def run(*command: str, env: dict[str, str] | None = None) -> str:
    """What a command of Python prints."""
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=TIMEOUT_S, env={**os.environ, **(env or {})}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(script: str, server: Command, *arguments: str) -> str:
    """What a script prints that asks this server."""
    ports = ["-port", str(server.port), "-port_out", str(server.port_out)]
    return run(str(EXAMPLE / script), *arguments, *ports)


def client_of(server: Command) -> BertClient:
    return BertClient(**server.ports)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a script, which finds its neighbours as it does when it is run."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    return importlib.import_module


# The order is that of the servers: 13 and 15 share one.


def test_asyncio(server_with: Callable[[str], Command]) -> None:
    shown = ask("example13_asyncio.py", server_with(options_of("example13_asyncio.py")))
    calls = re.search(r"^(\d+) of 240 calls are under way on one connection$", shown, re.MULTILINE)
    assert calls, shown
    assert int(calls[1]) > 1
    assert "all done: (240, 384)\n" in shown
    assert re.search(r"^no answer within 0\.001 s, 0 calls are under way$", shown, re.MULTILINE), shown
    batches = ["texts 0 to 99: (100, 384)", "texts 100 to 199: (100, 384)", "texts 200 to 239: (40, 384)"]
    assert shown.splitlines()[-3:] == batches


def test_sklearn_pipeline(server_with: Callable[[str], Command]) -> None:
    shown = ask("example15_sklearn.py", server_with(options_of("example15_sklearn.py")))
    folds = re.search(r"^accuracy on each fold: (.+)$", shown, re.MULTILINE)
    mean = re.search(r"^mean accuracy: (.+)$", shown, re.MULTILINE)
    assert folds, shown
    assert mean, shown
    assert len(folds[1].split()) == 5
    assert float(mean[1]) > 0.75  # of four classes; 0.25 by chance


def test_sklearn_estimator_can_be_cloned_and_pickled(
    server_with: Callable[[str], Command], example: Callable[[str], ModuleType]
) -> None:
    server = server_with(options_of("example15_sklearn.py"))
    vectorizer = example("example15_sklearn").BertVectorizer(**server.ports)
    expected = vectorizer.fit_transform(["First do it", "then do it right"])
    assert expected.shape == (2, 384)
    for other in (clone(vectorizer), pickle.loads(pickle.dumps(vectorizer))):
        assert other.get_params() == {"ip": "localhost", "port": server.port, "port_out": server.port_out}
        np.testing.assert_allclose(other.transform(["First do it", "then do it right"]), expected, rtol=0, atol=1e-5)


def test_sklearn_estimator_connects_late(example: Callable[[str], ModuleType]) -> None:
    port, port_out = free_ports(2)
    vectorizer = example("example15_sklearn").BertVectorizer(port=port, port_out=port_out)
    assert vectorizer.fit(["First do it"]) is vectorizer


def test_words_mean_what_their_sentence_makes_of_them(server_with: Callable[[str], Command]) -> None:
    shown = ask("example9_words.py", server_with(options_of("example9_words.py")))
    nearest = re.findall(r"^'(\w+)' in .+\n  \d\.\d\d  '(.+?)' in (.+)$", shown, re.MULTILINE)
    assert [(word, other) for word, other, _ in nearest] == [
        ("bank", "bank"),
        ("bank", "bank"),
        ("mouse", "rat,"),
        ("mouse", "touchpad"),
        ("spring", "summer,"),
        ("spring", "coil"),
    ], shown
    assert "stream" in nearest[0][2]
    assert "interest" in nearest[1][2]


def test_words_have_the_vectors_of_their_pieces(
    server_with: Callable[[str], Command], example: Callable[[str], ModuleType]
) -> None:
    """By hand, from the tokens of whole sentences: of another length each, with [UNK] and with what is not ASCII."""
    sentences = ['He said: "Touchpads, 🙂🙂ok!"', "Über-Kaffee 日本 [CLS] mouse"]
    with client_of(server_with(options_of("example9_words.py"))) as bc:
        found = example("example9_words").word_vectors(bc, sentences)
        rows, tokens = bc.encode(sentences, show_tokens=True)
    assert [" ".join(row) for row in tokens] == [
        '[CLS] he said : " touch ##pad ##s , [UNK] ! " [SEP]',
        "[CLS] uber - ka ##ffe ##e 日 本 [CLS] mouse [SEP]",
    ]
    spans = [
        {"He": (1, 2), "said:": (2, 4), '"Touchpads,': (4, 9), '🙂🙂ok!"': (9, 12)},
        {"Über-Kaffee": (1, 6), "日本": (6, 8), "[CLS]": (8, 9), "mouse": (9, 10)},
    ]
    for words, row, by_hand in zip(found, rows, spans, strict=True):
        assert [word for word, _ in words] == list(by_hand)
        for word, vector in words:
            first, end = by_hand[word]
            np.testing.assert_allclose(vector, row[first:end].mean(axis=0), rtol=0, atol=1e-5, err_msg=word)


def test_invisible_words_are_left_out(
    server_with: Callable[[str], Command], example: Callable[[str], ModuleType]
) -> None:
    with client_of(server_with(options_of("example9_words.py"))) as bc:
        [words] = example("example9_words").word_vectors(bc, ["good \u200b day"])
    assert [word for word, _ in words] == ["good", "day"]
    assert all(np.isfinite(vector).all() for _, vector in words)


def test_own_tokenizer(server_with: Callable[[str], Command]) -> None:
    shown = ask("example10_own_tokenizer.py", server_with(options_of("example10_own_tokenizer.py")))
    assert re.findall(r"^  own tokenizer: (\[CLS\] .+)$", shown, re.MULTILINE) == [
        "[CLS] get http response [SEP]",
        "[CLS] get http response [SEP]",
        "[CLS] load [UNK] file 2 [SEP]",
        "[CLS] [UNK] error [SEP]",
    ]
    assert re.findall(r"^  not in the vocabulary: (.+)$", shown, re.MULTILINE) == ["cfg", "json"]
    by_server = re.findall(r"^  the server's:  (\[CLS\] .+)$", shown, re.MULTILINE)
    assert len(by_server) == 4
    assert "##" in by_server[0]
    [mine] = re.findall(r"^  own tokenizer: (\d\.\d\d)$", shown, re.MULTILINE)
    [of_server] = re.findall(r"^  the server's:  (\d\.\d\d)$", shown, re.MULTILINE)
    assert mine == "1.00"
    assert float(of_server) < 0.9


def test_fine_tuned(server_with: Callable[[str], Command]) -> None:
    options = options_of("example11_fine_tuned.py")
    assert "-num_labels 2" in options
    server = server_with(options.replace("-num_labels 2", "-num_labels 3"))  # the small model was trained for three
    texts, labels = ["hey you", "what 's up ?"], ["no", "yes", "maybe"]
    shown = ask("example11_fine_tuned.py", server, *texts, "-labels", *labels)
    with client_of(server) as bc:
        expected = bc.encode(texts)
    assert expected.shape == (2, 3)
    assert not np.allclose(expected[0], expected[1], rtol=0, atol=1e-2)
    for line, text, row in zip(shown.splitlines(), texts, expected, strict=True):
        said = re.fullmatch(rf"(\w+): {re.escape(repr(text))} \(no (.+), yes (.+), maybe (.+)\)", line)
        assert said, line
        shares = [float(share) for share in said.groups()[1:]]
        np.testing.assert_allclose(shares, row, rtol=0, atol=1e-3)
        assert sum(shares) == pytest.approx(1, abs=2e-3)
        assert said[1] == labels[int(row.argmax())]


def test_http(server_with: Callable[[str], Command]) -> None:
    server = server_with(options_of("example12_http.py"))
    url = f"http://127.0.0.1:{server.http_port}"
    with httpx.Client(base_url=url) as http:
        wait_until_ready(http)
    encoded, refused, by_openai, usage = run(str(EXAMPLE / "example12_http.py"), "-url", url).splitlines()
    with client_of(server) as bc:
        first = bc.encode(["First do it", "then do it right", "then do it better"])[0]
    for line, route in ((encoded, "/encode"), (by_openai, "OpenAI")):
        numbers = re.fullmatch(rf"{route}: 3 vectors of 384 numbers: \[\[(.+), \.\.", line)
        assert numbers, line
        np.testing.assert_allclose([float(number) for number in numbers[1].split(", ")], first[:3], rtol=0, atol=1e-4)
    assert refused.startswith("/encode: 422 because of text 1: ")
    assert "blank" in refused
    assert usage.startswith("OpenAI: 17 tokens")  # 5 + 6 + 6


def test_server_from_python() -> None:
    shown = run(str(EXAMPLE / "example14_server.py"), "-model_dir", str(TINY))
    ready, shape, stopped = shown.splitlines()
    ports = re.fullmatch(r"ready on ports (\d+) and (\d+)", ready)
    assert ports, shown
    assert shape == "(3, 48)"
    assert stopped == "stopped"
    assert all(is_free(int(port)) for port in ports.groups())


PYTEST = ["-m", "pytest", "-p", "no:cacheprovider", "-s", str(EXAMPLE / "test_example14.py")]


def test_server_as_a_fixture() -> None:
    shown = run(*PYTEST, env={"BERT_MODEL_DIR": str(TINY)})
    assert "2 passed" in shown
    assert len(re.findall(r"ready on ports \d+ and \d+", shown)) == 1, shown  # both share it


def test_server_as_a_fixture_says_what_it_needs() -> None:
    shown = run(*PYTEST, env={"BERT_MODEL_DIR": ""})
    assert "2 skipped" in shown
    assert "BERT_MODEL_DIR must be the folder of a BERT model" in shown


@pytest.mark.parametrize("number", range(9, 16))
def test_first_lines_name_the_script(number: int) -> None:
    [script] = [path.name for path in EXAMPLE.glob(f"example{number}_*.py")]
    assert any(command.startswith(f"python example/{script}") for command in commands_of(script))
