"""The entry of every child process: sets it up, runs its role, and says why it ended.

A child gets its config and its orders as one JSON line on standard input, which then stays open: its end means that
the parent is gone, and the child ends too. What it prints goes to standard error; its original standard output
carries its result or its last words to the parent, one JSON object per line.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError
from bert_serving.server.log import set_up_logging
from bert_serving.server.streams import settle_streams
from bert_serving.server.transport.descriptors import raise_limit
from bert_serving.server.transport.orders import OptimizerNeeds, Orders, SinkNeeds, VentilatorNeeds, WorkerNeeds

log = logging.getLogger(__name__)

BOOTSTRAP = (
    "import json, sys; told = json.loads(sys.stdin.readline()); sys.path[:] = told['path'];"
    "from bert_serving.server.launchers import child; child.main(told['config'], told['orders'])"
)
"""What the parent runs, by `python -I -c`: isolated, so that no file in the working directory shadows a module."""


def main(config_json: str, orders_json: Mapping[str, Any]) -> None:
    """Run the role that the orders name."""
    settle_streams()
    report = _claim_stdout()
    raise_limit()
    # Ctrl-C and a terminal's end reach the whole group: the parent decides what ends
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    config, orders = ServerConfig.from_json(config_json), Orders.from_json(orders_json)
    set_up_logging(orders.log_role, config.verbose)
    try:
        report("result", _run(config, orders))
        _exit(0)
    except BertServerError as error:
        _end(report, str(error))
    except MemoryError:
        _end(report, "out of memory: choose a smaller model, fewer workers or a machine with more memory")
    except Exception as error:
        log.debug("ended by an exception", exc_info=True)
        _end(report, f"{type(error).__name__}: {error}")


def _end(report: Callable[[str, Any], None], reason: str) -> NoReturn:
    report("fatal", reason)
    _exit(1)


def _exit(status: int) -> NoReturn:
    sys.stderr.flush()
    os._exit(status)  # threads of a library, or one that still loads a model, must not keep the process


def _claim_stdout() -> Callable[[str, Any], None]:
    """Keep the inherited standard output for reports and send everybody else's prints to standard error."""
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def report(kind: str, content: Any) -> None:
        pipe.write(json.dumps({kind: content}) + "\n")
        pipe.flush()

    return report


def _end_with_parent() -> None:
    while os.read(0, 1024):  # not sys.stdin: a daemon thread in its buffer's lock would break the interpreter's exit
        pass
    os._exit(1)


def _run(config: ServerConfig, orders: Orders) -> str | None:
    """What the optimizer has prepared; all others run until they are told to stop. Each imports its own room alone."""
    contact, needs = orders.contact, orders.needs
    if isinstance(needs, OptimizerNeeds):
        prepared: str = importlib.import_module(config.engine).prepare(config, log.info)
        return prepared
    assert contact is not None
    if isinstance(needs, VentilatorNeeds):
        from bert_serving.server.ventilator import loop as ventilator

        ventilator.run(config, contact, needs)
    elif isinstance(needs, SinkNeeds):
        from bert_serving.server.sink import loop as sink

        sink.run(config, contact, needs)
    elif isinstance(needs, WorkerNeeds):
        from bert_serving.server.worker import loop as worker

        worker.run(config, contact, needs)
    else:
        from bert_serving.server.gateway import process as gateway

        gateway.run(config, contact, needs)
    return None
