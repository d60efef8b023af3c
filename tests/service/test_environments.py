"""Environments in which the commands are run, and what is expected there: a table, a line for each of them.

In each of them `bert-serving-encode` encodes a file by a server of its own, with the fake engine, or refuses to by a
sentence.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from command import FakeCommand
from fake_engine import vector_of
from folders import SUPPORT
from ports import free_ports
from serving import wait_until

from bert_serving.client import BertClient

TEXTS = ["plain", "caf\u00e9", "\u4eca\u65e5\u306f"]
NAME = "caf\u00e9.txt"
ENCODE = f"{sys.executable} {SUPPORT / 'fake_encode.py'} {NAME} out.npy -model_dir fake"


@dataclass(frozen=True)
class Row:
    """`line` is for the shell, in which $ENCODE is the command, and `says` a pattern in what comes out of it.

    `status` 0 means that all vectors are there. `needs` is a command without which the line cannot be run.
    """

    line: str
    status: int = 0
    says: str = ""
    needs: str = "true"


IN_A_WORLD = "unshare --pid --fork --mount-proc"
"""The command has the process id 1."""
ROWS = {
    # standard streams
    "all closed": Row("$ENCODE <&- >&- 2>&-"),
    "input closed": Row("$ENCODE <&-", says="3 vectors of shape"),
    "output closed": Row("$ENCODE >&-", says="ready to serve"),
    "error closed": Row("$ENCODE 2>&-", says="3 vectors of shape"),
    "texts from an input that is closed": Row("${ENCODE/$NAME/-} <&-", 1, "standard input is closed"),
    "nobody reads the output": Row("{ $ENCODE; echo $? >status; } | true; exit $(cat status)"),
    "nobody reads the log": Row("{ $ENCODE 2>&1; echo $? >status; } | true; exit $(cat status)"),
    "a log on a full disk": Row("$ENCODE >/dev/full 2>/dev/full"),
    "the first line of the help": Row("$ENCODE && $PYTHON -m bert_serving.server.cli.start -h | head -1", says="usage"),
    # terminals
    "LC_ALL=C": Row("LC_ALL=C PYTHONUTF8=0 $ENCODE", says="'plain'"),
    "a terminal of ASCII": Row("PYTHONIOENCODING=ascii $ENCODE", says=r"'caf\\xe9', '\\u4eca\\u65e5\\u306f'"),
    "a terminal of Latin-1": Row("PYTHONIOENCODING=latin-1 $ENCODE", says=r"\\u4eca\\u65e5\\u306f"),
    "an error in ASCII": Row("PYTHONIOENCODING=ascii ${ENCODE/$NAME/\u4eca.txt}", 1, r"error: .*\\u4eca\.txt"),
    "TERM=dumb": Row("TERM=dumb COLUMNS=1 $ENCODE", says="3 vectors"),
    # homes and folders
    "nothing in the environment": Row('env -i PYTHONPATH="$PYTHONPATH" PATH="$PATH" $ENCODE'),
    "no HOME": Row("env -u HOME $ENCODE"),
    "a HOME that is not there": Row("HOME=/nonexistent $ENCODE"),
    "a user without an entry": Row("unshare -U --map-user=54321 $ENCODE", needs="unshare -U --map-user=54321 true"),
    "TMPDIR missing": Row("TMPDIR=$PWD/missing $ENCODE"),
    "TMPDIR a file": Row("TMPDIR=$PWD/$NAME $ENCODE"),
    "TMPDIR where nobody may write": Row("TMPDIR=/proc $ENCODE"),
    "no folder for sockets": Row(
        "ZEROMQ_SOCK_TMP_DIR=$PWD/missing $ENCODE", 1, "cannot make a folder for sockets.*set ZEROMQ"
    ),
    "no folder for graphs": Row(
        "$ENCODE -graph_tmp_dir missing", 1, "cannot make a folder for the graph.*set -graph_tmp_dir"
    ),
    "a folder for graphs on a full disk": Row(
        "mkdir full && unshare -rm sh -c 'mount -t tmpfs -o size=4k,nr_inodes=1 none full && exec \"$@\"' sh "
        "$ENCODE -graph_tmp_dir full",
        1,
        "cannot make a folder for the graph: .*No space left",
        needs="unshare -rm sh -c 'mount -t tmpfs -o size=4k none /mnt'",
    ),
    "no /dev/shm": Row(
        "unshare -rm sh -c 'mount -t tmpfs -o size=4k,ro none /dev/shm && exec \"$@\"' sh $ENCODE",
        needs="unshare -rm sh -c 'mount -t tmpfs -o size=4k,ro none /dev/shm'",
    ),
    "a working folder that is gone": Row(
        "in=$PWD/$NAME out=$PWD/out.npy; mkdir gone && cd gone && rmdir ../gone; set -- $ENCODE; "
        '$1 $2 "$in" "$out" -model_dir fake'
    ),
    "no file may grow": Row(
        "ulimit -f 0; $ENCODE", 1, "cannot make a folder for the graph.*No usable temporary directory"
    ),
    # processes
    "process 1 of a container": Row(f"{IN_A_WORLD} $ENCODE", says="3 vectors", needs=f"{IN_A_WORLD} true"),
    "under nohup": Row("nohup $ENCODE", says="3 vectors"),
    "64 open files": Row("ulimit -n 64; $ENCODE", 1, r"may have 64 open files, but this server needs 132.*ulimit -n"),
    "256 open files": Row("ulimit -n 256; $ENCODE", says=r"raise the limit to 10256 \(ulimit -n"),
    "python -OO": Row("PYTHONOPTIMIZE=2 $ENCODE", says="3 vectors"),
    "python -I as far as it goes": Row("PYTHONSAFEPATH=1 PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1 $ENCODE"),
    "warnings that are errors": Row("PYTHONWARNINGS=error,ignore::DeprecationWarning $ENCODE", says="3 vectors"),
    # the network
    "proxies": Row("http_proxy=http://127.0.0.1:9 ALL_PROXY=socks5://127.0.0.1:9 $ENCODE", says="3 vectors"),
}


def test_a_server_whose_log_nobody_reads_any_more(folder: Path) -> None:
    port, port_out = free_ports(2)
    options = ["-model_dir", "fake", "-port", str(port), "-port_out", str(port_out), "-host", "127.0.0.1"]
    process = subprocess.Popen(
        [sys.executable, SUPPORT / "fake_start.py", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"options: ")
    process.stdout.close()
    try:
        with BertClient("127.0.0.1", port, port_out, connect_timeout=60_000) as client:
            worker = next(one for one in client.server_status["processes"] if one["name"] == "worker-0")
            os.kill(worker["pid"], signal.SIGKILL)  # there is something to say, for all of them
            np.testing.assert_array_equal(client.encode(["a"]), [vector_of("a")])
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_server_that_is_process_1_buries_the_dead_and_heeds_signals(number: int) -> None:
    inherited = '(sleep 0.5 &); exec "$@"'
    world = [*IN_A_WORLD.split(), "sh", "-c", inherited, "sh"]
    if subprocess.run([*world, "true"], capture_output=True).returncode:
        pytest.skip("this user cannot have processes of its own")
    with FakeCommand(prefix=world) as server:
        server.wait_until_ready()
        (first,) = psutil.Process(server.pid).children()
        with BertClient(**server.ports) as client:
            np.testing.assert_array_equal(client.encode(["a"]), [vector_of("a")])
        wait_until(lambda: all(one.status() != psutil.STATUS_ZOMBIE for one in first.children()))
        assert len(first.children()) == 3
        first.send_signal(number)
        assert server.wait_for_end(60) == 0, server.log
    assert "stopping: SIG" in server.log


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user can use, as pytest's cannot be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.parametrize("name", ROWS)
def test_environment(name: str, folder: Path) -> None:
    row = ROWS[name]
    if subprocess.run(row.needs, shell=True, capture_output=True).returncode:
        pytest.skip(f"this machine does not let us: {row.needs}")
    (folder / NAME).write_text("\n".join(TEXTS), "utf-8")
    given = os.environ.get("PYTHONPATH")
    modules = os.pathsep.join([str(SUPPORT), given] if given else [str(SUPPORT)])  # an empty one is the working folder
    known = {"ENCODE": ENCODE, "NAME": NAME, "PYTHON": sys.executable, "PYTHONPATH": modules}
    done = subprocess.run(
        ["bash", "-c", row.line], cwd=folder, env={**os.environ, **known}, capture_output=True, timeout=120
    )
    said = (done.stdout + done.stderr).decode("latin-1" if "latin" in row.line else "utf-8")
    assert (done.returncode, "Traceback" in said, "Exception ignored" in said) == (row.status, False, False), said
    assert re.search(row.says, said), said
    if row.status == 0:
        np.testing.assert_array_equal(np.load(folder / "out.npy"), np.array(list(map(vector_of, TEXTS))))
    else:
        assert "error: " in said.splitlines()[-1]
