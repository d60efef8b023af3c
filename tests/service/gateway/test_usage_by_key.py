"""API keys with names: who gets in, what is counted, who has to come again later, and what a changed file does."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import httpx
import openai
import pytest
from gateway_support import Browse
from serving import wait_until

KEYS = {"alice": "sesame", "bob": "öffne dich"}


def write_keys(path: Path, keys: dict[str, str], **limits: int) -> None:
    """As an editor does: whole, in the place of what was there."""
    tables = [
        f'[{name}]\nsha256 = "{sha256(key.encode()).hexdigest()}"\n'
        + (f"tokens_per_minute = {limits[name]}\n" if name in limits else "")
        for name, key in keys.items()
    ]
    new = path.with_suffix(".new")
    new.write_text("".join(tables), "utf-8")
    new.rename(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_keys(tmp_path / "keys.toml", KEYS, alice=1)
    return tmp_path / "keys.toml"


def ask(http: httpx.Client, key: str | None, texts: list[str] | None = None, path: str = "/encode") -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}".encode()}
    body = {"texts" if path == "/encode" else "input": texts or ["hello"]}
    return http.post(path, json=body, headers=headers)  # type: ignore[arg-type]


def counted(http: httpx.Client) -> dict[str, float]:
    """The metrics by key."""
    lines = [line.rsplit(" ", 1) for line in http.get("/metrics").text.splitlines() if "_http_key_" in line]
    return {name.removeprefix("bert_serving_http_key_"): float(value) for name, value in lines if name[0] != "#"}


def test_texts_and_tokens_are_counted_by_name(browse: Browse, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_keys(path, KEYS)
    http = browse(http_api_keys=str(path), http_api_key="mine", verbose=True)
    assert [ask(http, key).status_code for key in (None, "wrong", "alice")] == [401] * 3
    assert set(counted(http).values()) == {0}
    for key, texts, route in (
        ("sesame", ["ab", "cde"], "/encode"),
        ("sesame", ["f"], "/v1/embeddings"),
        ("öffne dich", ["ghij"], "/encode"),
        ("mine", ["klmnopq"], "/encode"),  # the one key, which has no name
    ):
        assert ask(http, key, texts, route).status_code == 200
    assert ask(http, "sesame", ["a", ""]).status_code == 422  # not answered, not counted
    basic = base64.b64encode("me:öffne dich".encode("latin-1")).decode()
    assert http.get("/", headers={"Authorization": f"Basic {basic}"}).status_code == 200
    assert counted(http) == {
        'texts_total{key="alice"}': 3,
        'texts_total{key="bob"}': 1,
        'tokens_total{key="alice"}': 6,  # a character is a token to the fake engine
        'tokens_total{key="bob"}': 4,
    }
    status = http.get("/status/server", headers={"Authorization": "Bearer sesame"}).text
    assert str(path) not in status
    told = status + http.get("/metrics").text + capfd.readouterr().err
    for key in KEYS.values():
        assert sha256(key.encode()).hexdigest() not in told
        assert key not in told


def test_who_has_used_its_tokens_is_told_when_to_come_again(browse: Browse, path: Path) -> None:
    http = browse(http_api_keys=str(path))
    assert ask(http, "sesame", ["hello"]).status_code == 200  # it may take more than there is, once
    for route in ("/encode", "/v1/embeddings"):
        answer = ask(http, "sesame", path=route)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (429, "overloaded")
        assert "'alice' may use 1 tokens a minute" in error["message"]
        assert 180 < int(answer.headers["Retry-After"]) <= 241  # of five tokens one was there, and four are owed
    assert counted(http)['texts_total{key="alice"}'] == 1
    assert http.get("/v1/models", headers={"Authorization": "Bearer sesame"}).status_code == 200, "it costs no tokens"
    assert ask(http, "öffne dich").status_code == 200
    with (
        openai.OpenAI(base_url=f"{http.base_url}/v1", api_key="sesame", max_retries=0) as client,
        pytest.raises(openai.RateLimitError),
    ):
        client.embeddings.create(model="bert", input="a")
    write_keys(path, KEYS)  # without a limit
    wait_until(lambda: ask(http, "sesame").status_code == 200)


def test_a_request_that_waited_for_its_turn_is_refused_when_others_have_used_the_tokens(
    browse: Browse, path: Path
) -> None:
    http = browse(http_api_keys=str(path), http_max_connect=1)
    slow = httpx.Client(base_url=http.base_url, timeout=60)
    with slow, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(slow, "sesame", ["!slow 0.5"]).status_code, range(4)))
    assert sorted(answers) == [200, 429, 429, 429]


def test_keys_are_read_again_when_the_file_changes(
    browse: Browse, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_keys(path, KEYS)
    http = browse(http_api_keys=str(path))
    assert ask(http, "sesame").status_code == 200
    write_keys(path, {"bob": "another", "carol": "new"})
    wait_until(lambda: ask(http, "new").status_code == 200)
    assert [ask(http, key).status_code for key in ("another", "sesame", "öffne dich")] == [200, 401, 401]
    assert {name.split('"')[1] for name in counted(http)} == {"bob", "carol"}
    path.write_text("[carol", "utf-8")
    told = ""
    while "cannot be used, so the 2 key(s) of before still count: it is no TOML" not in told:
        assert ask(http, "new").status_code == 200
        time.sleep(0.1)  # what is written just while `capfd` is read would be lost
        told += capfd.readouterr().err
    write_keys(path, {"alice": "sesame"})
    wait_until(lambda: ask(http, "sesame").status_code == 200)
    assert ask(http, "new").status_code == 401


BODIES: list[tuple[str, dict[str, object], int]] = [
    ("/encode", {"texts": ["ab", "cd"]}, 2),
    ("/v1/embeddings", {"input": ["ab", "cd"]}, 2),
    ("/embed", {"inputs": ["ab", "cd"]}, 2),
    ("/embed_all", {"inputs": ["ab", "cd"]}, 2),
    ("/predict", {"inputs": [["ab"], ["cd"]]}, 2),
    ("/rerank", {"query": "a", "texts": ["b", "c"]}, 2),
    ("/v2/rerank", {"query": "a", "documents": ["b", "c"]}, 2),
    ("/api/embed", {"input": ["ab", "cd"]}, 2),
    ("/api/embeddings", {"prompt": "ab"}, 1),
    ("/vectors", {"text": "ab"}, 1),
]


def test_every_dialect_is_charged(browse: Browse, path: Path) -> None:
    write_keys(path, KEYS)
    http = browse(http_api_keys=str(path), model_dir="head")
    http.headers["Authorization"] = "Bearer sesame"
    texts = 0.0
    for route, body, number in BODIES:
        before = counted(http)
        answer = http.post(route, json=body)
        assert answer.status_code == 200, (route, answer.text)
        texts += number
        now = counted(http)
        assert now['texts_total{key="alice"}'] == texts, route
        assert now['tokens_total{key="alice"}'] > before['tokens_total{key="alice"}'], route
    before = counted(http)
    assert http.get("/info").status_code == 200
    assert http.post("/embed", json={"inputs": []}).status_code == 400
    assert counted(http) == before
