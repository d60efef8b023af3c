"""Coloured log lines by role: SUPERVISOR, VENTILATOR, SINK, WORKER-0, GRAPHOPT. Never with a text or a vector."""

from __future__ import annotations

import logging
import sys
from typing import Any

from termcolor import colored

THROTTLE_INTERVAL_S = 10.0
ROOT = "bert_serving.server"
_COLORS = {
    "SUPERVISOR": "blue",
    "VENTILATOR": "magenta",
    "SINK": "green",
    "WORKER": "yellow",
    "GRAPHOPT": "cyan",
    "PROXY": "red",
}


class _RoleFormatter(logging.Formatter):
    """`2026-11-29 20:26:03 I:WORKER-0:message`, the role in its colour; tracebacks only if verbose."""

    def __init__(self, role: str, verbose: bool) -> None:
        shown = colored(role, _COLORS.get(role.split("-")[0], "white"))
        super().__init__(f"%(asctime)s %(levelname).1s:{shown}:%(message)s", "%Y-%m-%d %H:%M:%S")
        self._verbose = verbose

    def formatException(self, ei: Any) -> str:
        return super().formatException(ei) if self._verbose else ""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).rstrip("\n")


class Throttle:
    """Counts what happens, and says now and then how much: strangers must not fill the disk through the log."""

    def __init__(self, logger: logging.Logger, text: str) -> None:
        self._logger = logger
        self._text = text
        self._number = 0
        self._said_s = -THROTTLE_INTERVAL_S

    def count(self, number: int, now_s: float, *last: object, error: BaseException | None = None) -> None:
        """So many more; `text` gets the sum since it was last said, and what is told about the `last` one.

        The log gets the `error` with its traceback.
        """
        self._number += number
        if self._number and now_s > self._said_s + THROTTLE_INTERVAL_S:
            self._logger.warning(self._text, self._number, *last, exc_info=error)
            self._number, self._said_s = 0, now_s


def set_up_logging(role: str, verbose: bool) -> None:
    """Send this process's log to standard error under `role`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RoleFormatter(role, verbose))
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
