"""How the comparison talks to a contestant, which is a process of its own, often in an environment of its own.

On standard input comes a line of JSON for each thing to do, `{"do": NAME, ...}`; on standard output goes one line with
what came of it: the object that the function of that name returns, or `{"error": TEXT}`. Needs nothing but Python, as
it runs in every environment.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CORE = "COMPARE_CORE"
"""Environment variable: the core that this process may use. It may use all if that is not set."""

Action = Callable[..., Mapping[str, Any]]


def cores() -> list[int]:
    """Those that this process may use."""
    return sorted(os.sched_getaffinity(0))


def pin() -> int:
    """How many threads to compute with. To be called before any library starts threads of its own."""
    core = os.environ.get(CORE)
    if core is None:
        return len(cores())
    os.sched_setaffinity(0, {int(core)})
    return 1


def serve(actions: Mapping[str, Action]) -> None:
    """Do what is asked until standard input ends."""
    # what libraries print must not come between the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _say(answers, {"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = actions[asked.pop("do")](**asked)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        _say(answers, answer)


def texts_of(path: str) -> list[str]:
    """A file of texts, as the comparison wrote it."""
    return list(json.loads(Path(path).read_text("utf-8")))


def timed(action: Callable[[], object]) -> float:
    """Seconds that it took."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _say(answers: Any, answer: Mapping[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
