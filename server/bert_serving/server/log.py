"""Coloured log lines by role: VENTILATOR, SINK, WORKER-0, GRAPHOPT. Never a text or a vector in them."""

from __future__ import annotations

import logging
import sys

from termcolor import colored

ROOT = "bert_serving.server"
_COLORS = {"VENTILATOR": "magenta", "SINK": "green", "WORKER": "yellow", "GRAPHOPT": "cyan", "PROXY": "red"}


class _RoleFormatter(logging.Formatter):
    """`I:WORKER-0:message`, the role in its colour; tracebacks only if verbose."""

    def __init__(self, role: str, verbose: bool) -> None:
        shown = colored(role, _COLORS.get(role.split("-")[0], "white"))
        super().__init__(f"%(levelname).1s:{shown}:%(message)s")
        self._verbose = verbose

    def formatException(self, ei: object) -> str:
        return super().formatException(ei) if self._verbose else ""  # type: ignore[arg-type]

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).rstrip("\n")


def set_up_logging(role: str, verbose: bool) -> None:
    """Send this process's log to standard error under `role`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RoleFormatter(role, verbose))
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
