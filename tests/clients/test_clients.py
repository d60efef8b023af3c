"""The packages that people have, as published: their vectors and orders are those of `BertClient`. For `make clients`.

A package runs in an environment of its own, see `asking.py`, whose proxies lead nowhere: it reaches this machine alone.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from environments import CLIENTS, INSTALL_TIMEOUT_S, Missing, python_of, versions_of
from folders import GOLDEN
from gateway_support import wait_until_ready
from minilm import minilm_folder
from numpy.testing import assert_allclose
from ports import free_ports

from bert_serving.client import BertClient
from bert_serving.server import BertServer, ServerConfig
from bert_serving.server.gateway.cl100k import FILE_NAME, FOLDER_VARIABLE
from clients import asking

pytestmark = pytest.mark.timeout(INSTALL_TIMEOUT_S + 300)  # the first test waits for the packages

TOLERANCE = 1e-5
TEXTS = [
    "Why is the sky blue?",
    "Der Himmel ist blau,\nweil das Licht gestreut wird.",
    "空はなぜ青いのですか",
    "naïve café \N{GRINNING FACE}",
]
QUERY = "short"
DOCUMENTS = [
    "pressure rain history city from doctors clients quick winter measured and summer by from the by the fast music",
    "every three accepts every dogs summer old",
    "bridge slept slept",
    "two",
    "server and clients seven winter boats river station",
]
DIMENSIONS = 17
MINILM, UNSCALED, CROSS_ENCODER, READING_IDS = "minilm", "xlm_roberta", "cross_xlm_roberta", "minilm_cl100k"
NORMALIZE = {"llama_index_tei": True, "litellm_tei": True, "haystack_tei": False}
"""In text-embeddings-inference's dialect vectors have length 1 unless a client says no, as Haystack does by itself."""
_NOWHERE = "http://127.0.0.1:9"
_QUIET = {
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), "localhost,127.0.0.1"),
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
}
"""So that no package asks for anything but answers of this server, or tells anybody."""


@dataclass(frozen=True)
class Served:
    """A server with HTTP, and our own client of it."""

    client: BertClient
    question: asking.Question


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter that has the packages."""
    try:
        found = python_of(CLIENTS)
    except Missing as missing:
        pytest.skip(str(missing))
    print(*(f"{name} {version}" for name, version in versions_of(found, CLIENTS.shown).items()), sep=", ")
    return found


@pytest.fixture(scope="session")
def vocabulary(python: Path) -> Path:
    """The folder with OpenAI's vocabulary that comes with litellm."""
    (path,) = python.parents[1].glob(f"lib/*/site-packages/litellm/litellm_core_utils/tokenizers/{FILE_NAME}")
    return path.parent


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[Served]:
    port, port_out, http_port = free_ports(3)
    where: dict[str, Any] = {"port": port, "port_out": port_out}
    values = {"model_dir": str(folder), "cpu": True, "max_seq_len": 64, "http_port": http_port, **where, **options}
    url = f"http://127.0.0.1:{http_port}"
    with (
        BertServer(ServerConfig.from_mapping({"http_host": "127.0.0.1", **values})),
        BertClient(**where, check_length=False) as client,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
    ):
        wait_until_ready(http)
        yield Served(
            client, asking.Question(url=url, texts=TEXTS, query=QUERY, documents=DOCUMENTS, dimensions=DIMENSIONS)
        )


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    """One after the other: of a model whose vectors have length 1, of one whose vectors have not, of one that puts
    documents in order, and one that turns OpenAI's token ids back into texts."""
    with ExitStack() as opened:
        options = {}
        if request.param == READING_IDS:
            vocabulary = request.getfixturevalue("vocabulary")
            opened.enter_context(pytest.MonkeyPatch.context()).setenv(FOLDER_VARIABLE, str(vocabulary))
            options = {"openai_token_ids": "cl100k"}
        is_small = request.param in (UNSCALED, CROSS_ENCODER)
        folder = GOLDEN / "architectures" / request.param if is_small else minilm_folder()
        yield opened.enter_context(served(folder, **options))


@dataclass(frozen=True)
class Packages:
    """Asks servers with them."""

    python: Path
    vocabulary: Path
    home: Path

    def ask(self, case: str, question: asking.Question) -> asking.Answer:
        """What a case of `asking.py` says."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.home), FOLDER_VARIABLE: str(self.vocabulary)}
        done = subprocess.run(
            [self.python, "-I", asking.__file__, case],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=240,
            env={**own, **_QUIET},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found: asking.Answer = json.loads(done.stdout.splitlines()[-1])
        assert found
        return found


@pytest.fixture(scope="session")
def packages(python: Path, vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages(python, vocabulary, tmp_path_factory.mktemp("home"))


def check_vectors(found: asking.Answer, client: BertClient, **options: Any) -> None:
    """Each of the matrices is that of the first texts."""
    expected = client.encode(TEXTS, **options)
    cut = client.encode(TEXTS, dimensions=DIMENSIONS, normalize=True)
    for asked, vectors in found.items():
        wanted = cut if asked == "dimensions" else expected[: len(vectors)]
        assert_allclose(vectors, wanted, rtol=0, atol=TOLERANCE, err_msg=asked)


def on(*servers: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("server", servers, indirect=True)


@on(MINILM, UNSCALED)
@pytest.mark.parametrize("case", asking.VECTORS)
def test_vectors(server: Served, packages: Packages, case: str) -> None:
    found = packages.ask(case, server.question)
    check_vectors(found, server.client, normalize=NORMALIZE.get(case))


@on(MINILM)
def test_langchain_is_told_what_to_set(server: Served, packages: Packages) -> None:
    found = packages.ask("langchain_openai_defaults", server.question)
    assert found["status"] == 422
    assert "check_embedding_ctx_length=False" in found["refused"]


@on(CROSS_ENCODER)
@pytest.mark.parametrize("case", asking.ORDERS)
def test_orders(server: Served, packages: Packages, case: str) -> None:
    hits = server.client.rank(QUERY, DOCUMENTS)
    assert [hit.index for hit in hits] != sorted(hit.index for hit in hits)
    for asked, order in packages.ask(case, server.question).items():
        wanted = hits[:2] if asked == "top 2" else hits
        assert [index for index, _ in order] == [hit.index for hit in wanted], asked
        assert_allclose([score for _, score in order], [hit.score for hit in wanted], rtol=0, atol=TOLERANCE)


@on(READING_IDS)
def test_langchain_with_its_defaults(server: Served, packages: Packages) -> None:
    found = packages.ask("langchain_openai_defaults", server.question)
    assert "refused" not in found, found
    check_vectors(found, server.client)
