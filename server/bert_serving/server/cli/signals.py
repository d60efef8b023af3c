"""The signals that end a command: Ctrl-C, SIGTERM, and SIGHUP, which a closing terminal sends.

SIGHUP comes twice, from the system and from the shell. It is ignored from the start if a command is meant to outlive
its terminal (`nohup`), as SIGINT is for background commands of a script.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn


def ending_signals() -> list[signal.Signals]:
    """Those to heed: not SIGHUP if it was ignored when this process was started. None is blocked any more."""
    is_to_stay = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heeded = [signal.SIGINT, signal.SIGTERM, *([] if is_to_stay else [signal.SIGHUP])]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, heeded)  # a parent that blocks them leaves that to its children
    return heeded


def end_by_exception() -> None:
    """Let all of them raise KeyboardInterrupt, as Ctrl-C does, so that what was opened is closed."""
    for number in ending_signals():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the second one must not disturb the end
    raise KeyboardInterrupt
