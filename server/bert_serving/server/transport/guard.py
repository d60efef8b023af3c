"""The turns of a loop, guarded: nothing that comes from outside ends a process by an error in its handling."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import ParamSpec

from bert_serving.server.errors import BertServerError
from bert_serving.server.log import Throttle

MOST_IN_A_ROW = 1_000
"""Failures without a success between them: then something is broken for good, and whoever comes next begins afresh."""

_Arguments = ParamSpec("_Arguments")


class Guard:
    """Call steps through it. What fails on purpose, a BertServerError, passes."""

    def __init__(self, logger: logging.Logger) -> None:
        self._log = logger
        self._in_a_row = 0
        self._failed = Throttle(logger, "%d step(s) failed because of an error in the server")

    def __call__(self, step: Callable[_Arguments, object], *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> bool:
        """Whether the step was done to its end."""
        try:
            step(*args, **kwargs)
        except BertServerError:
            raise
        except Exception as error:
            self._in_a_row += 1
            self._failed.count(1, time.monotonic())
            self._log.debug("a step failed: %s", type(error).__name__, exc_info=True)
            if self._in_a_row > MOST_IN_A_ROW:
                raise
            return False
        self._in_a_row = 0
        return True
