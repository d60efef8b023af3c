"""docs/guide/tls.md: its nginx and its Caddy pass requests on to a server, with TLS in front."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pages import DOCS, blocks, replaced
from ports import free_ports

PAGE = DOCS / "guide" / "tls.md"
NGINX = "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{}} http {{ access_log off; {} {} }}"
TEMPORARY = " ".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


def config(language: str) -> str:
    (block,) = blocks(language, [PAGE])
    return block.text


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of this machine, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    certificate, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, *files], check=True, timeout=60)
    return certificate, key


@contextmanager
def running(command: list[str], port: int, certificate: Path, folder: Path) -> Iterator[httpx.Client]:
    """A client of this proxy, once it listens."""
    trusted = ssl.create_default_context(cafile=str(certificate))
    with subprocess.Popen(command, cwd=folder, env={"HOME": str(folder)}) as proxy:
        try:
            with httpx.Client(base_url=f"https://localhost:{port}", verify=trusted, timeout=60) as http:
                wait_until_it_answers(http, proxy)
                yield http
        finally:
            proxy.terminate()


def wait_until_it_answers(http: httpx.Client, proxy: subprocess.Popen[bytes]) -> None:
    """The test's own timeout ends it, if the proxy neither answers nor ends."""
    while True:
        assert proxy.poll() is None, "the proxy has ended"
        try:
            http.get("/health/live").raise_for_status()
            return
        except httpx.TransportError:
            time.sleep(0.1)


def check(proxied: httpx.Client, http: httpx.Client) -> None:
    """Vectors, large bodies, the dashboard's events, and what is too large."""
    body = {"texts": ["hello world"]}
    assert proxied.post("/encode", json=body).json() == http.post("/encode", json=body).json()
    large = {"texts": ["a " * 1_000_000]}  # more than nginx takes by itself
    assert proxied.post("/encode", json=large).status_code == 200
    assert proxied.post("/encode", content=b" " * (17 << 20)).status_code == 413
    with proxied.stream("GET", "/events") as events:
        assert next(events.iter_lines())


def test_nginx(http: httpx.Client, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx here: Debian's package nginx-light has it")
    (port,) = free_ports(1)
    words = {
        "443": f"127.0.0.1:{port}",
        "8125": str(http.base_url.port),
        "bert.example.org": "localhost",
        "/etc/ssl/bert/fullchain.pem": str(certificate[0]),
        "/etc/ssl/bert/privkey.pem": str(certificate[1]),
    }
    path = tmp_path / "nginx.conf"
    path.write_text(NGINX.format(TEMPORARY, replaced(config("nginx"), words)))
    with running([nginx, "-p", str(tmp_path), "-c", str(path)], port, certificate[0], tmp_path) as proxied:
        check(proxied, http)


def test_caddy(http: httpx.Client, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("no Caddy here: Debian's package caddy has it")
    (port,) = free_ports(1)
    site = f"https://localhost:{port} {{\n    bind 127.0.0.1\n    tls {certificate[0]} {certificate[1]}\n"
    text = re.sub(r"^bert\.example\.org \{\n", site, config("caddyfile"))
    path = tmp_path / "Caddyfile"
    path.write_text(
        "{\n    admin off\n    auto_https disable_redirects\n}\n" + text.replace("8125", str(http.base_url.port))
    )
    command = [caddy, "run", "--adapter", "caddyfile", "--config", str(path)]
    with running(command, port, certificate[0], tmp_path) as proxied:
        check(proxied, http)
