"""The packages as they would be uploaded: built, checked, and installed from the wheels into a new environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import numpy
import pytest
import zmq
from folders import ROOT, TINY
from ports import free_ports

PACKAGES = ("client", "server")
NOT_TO_BUILD = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
COMMANDS = ("start", "terminate", "encode", "gateway", "benchmark", "verify", "keygen")
PLAIN = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdists and, made from these, the wheels."""
    folder = tmp_path_factory.mktemp("built")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=NOT_TO_BUILD)
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), package]
        done = subprocess.run(command, cwd=folder, env=PLAIN, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


class Environment:
    """A new environment with these wheels, whose programs see `beside` as well."""

    def __init__(self, folder: Path, wheels: list[Path], beside: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
        self.python = folder / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "-q", "--no-deps", "--no-index"]
        subprocess.run([*pip, *wheels], env=PLAIN, check=True, timeout=120)
        self.packages = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        (self.packages / "beside.pth").write_text(f"{beside}\n")

    def run(self, *words: str) -> str:
        """What Python prints."""
        return self.output(str(self.python), *words)

    def output(self, *command: str) -> str:
        done = subprocess.run(command, env=PLAIN, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def script(self, name: str) -> str:
        return str(self.python.with_name(f"bert-serving-{name}"))


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Client and server; what they need is that of this interpreter."""
    folder = tmp_path_factory.mktemp("installed") / "env"
    return Environment(folder, sorted(built.glob("*.whl")), Path(sysconfig.get_path("purelib")))


def wheel_of(built: Path, package: str) -> Path:
    (wheel,) = built.glob(f"bert_serving_{package}-*.whl")
    return wheel


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_twine_finds_nothing_wrong(built: Path) -> None:
    files = sorted(map(str, built.iterdir()))
    assert len(files) == 4
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("PASSED") == 4


@pytest.mark.parametrize("package", PACKAGES)
def test_what_an_index_shows_of_a_package(built: Path, package: str) -> None:
    about = metadata_of(wheel_of(built, package))
    assert about["License-Expression"] == "MIT"
    assert about["Author"] == "the bert-as-service contributors"
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_payload() == (ROOT / package / "README.md").read_text("utf-8")
    assert about["Project-URL"]
    assert about["Keywords"]


@pytest.mark.parametrize(
    ("package", "file"),
    [
        ("client", "bert_serving/client/py.typed"),
        ("server", "bert_serving/server/py.typed"),
        ("server", "bert_serving/server/gateway/dashboard/page.html"),
        ("server", "bert_serving/server/gateway/dashboard/charts.js"),
        ("server", "bert_serving/server/gateway/dashboard/style.css"),
        ("server", "bert_serving/server/benchmark/sentences.txt"),
        ("client", "LICENSE"),
        ("server", "LICENSE"),
    ],
)
def test_files_that_are_no_code_are_in_both(built: Path, package: str, file: str) -> None:
    with zipfile.ZipFile(wheel_of(built, package)) as wheel:
        assert any(name.endswith(file) for name in wheel.namelist())
    (sdist,) = built.glob(f"bert_serving_{package}-*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert any(name.endswith(file) for name in archive.getnames())


def test_the_client_needs_numpy_and_pyzmq_alone(built: Path, tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    for module in (numpy, zmq):
        assert module.__file__
        home = Path(module.__file__).parent
        (beside / home.name).symlink_to(home)
    for libraries in home.parent.glob("*.libs"):
        (beside / libraries.name).symlink_to(libraries)
    environment = Environment(tmp_path / "env", [wheel_of(built, "client")], beside)
    program = (
        "import bert_serving.client as client\n"
        "bc = client.BertClient(ignore_all_checks=True, connect_timeout=100)\n"
        "try: bc.encode(['a'])\n"
        "except client.ConnectFailed: print(client.__file__)"
    )
    assert environment.run("-c", program).strip() == str(environment.packages / "bert_serving/client/__init__.py")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_there_and_say_their_version(installed: Environment, command: str) -> None:
    version = installed.run("-c", "import bert_serving.server as server; print(server.__version__)")
    assert installed.output(installed.script(command), "-version") == version


def test_a_server_from_the_wheels_answers_a_client_from_the_wheels(installed: Environment) -> None:
    port, port_out = map(str, free_ports(2))
    words = ["-model_dir", str(TINY), "-cpu", "-host", "127.0.0.1", "-port", port, "-port_out", port_out]
    server = subprocess.Popen([installed.script("start"), *words], env=PLAIN, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        log = []
        for line in server.stderr:
            log.append(line)
            if "all set, ready to serve request!" in line:
                break
        else:
            raise AssertionError("".join(log))
        program = (
            "from bert_serving.client import BertClient\n"
            f"print(BertClient(port={port}, port_out={port_out}).encode(['one', 'two']).shape)"
        )
        assert installed.run("-c", program).strip() == "(2, 48)"
        installed.output(installed.script("terminate"), "-port", port)
        server.communicate(timeout=60)
        assert server.returncode == 0
    finally:
        server.kill()
        server.communicate()
