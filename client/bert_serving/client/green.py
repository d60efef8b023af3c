"""How the loop's thread waits. If threads are greenlets (gevent, eventlet), the others can run meanwhile.

After `gevent.monkey.patch_all()` or `eventlet.monkey_patch()` what `threading` starts is a greenlet, and a wait for a
lock or a plain socket lets others run. A wait inside libzmq would block all of them forever.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from math import inf
from typing import Any

import zmq

LOOK_AGAIN_S = 1.0
"""Events of libzmq are asked for so often, even if its descriptors do not tell of any."""

_PATCHERS = (
    ("gevent.monkey", "is_module_patched", "threading", "gevent"),
    ("eventlet.patcher", "is_monkey_patched", "thread", "eventlet"),
)
"""Who says by which function that a module is patched, which module, and the library's name."""
_SELECT = {"gevent": "gevent.select", "eventlet": "eventlet.green.select"}


def patched_by() -> str | None:
    """The library that has made greenlets of threads; None if none has."""
    for patcher, is_patched, module, library in _PATCHERS:
        if patcher in sys.modules and getattr(sys.modules[patcher], is_patched)(module):
            return library
    return None


def make_poller() -> zmq.Poller:
    """For the thread that is started next."""
    library = patched_by()
    return zmq.Poller() if library is None else _GreenPoller(importlib.import_module(_SELECT[library]).select)


class _GreenPoller(zmq.Poller):
    """Waits on descriptors by the `select` of the greenlets, and asks libzmq only what has happened."""

    def __init__(self, select: Callable[..., Any]) -> None:
        super().__init__()
        self._select = select

    def poll(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        end_s = inf if timeout is None or timeout < 0 else time.monotonic() + timeout / 1000
        while not (happened := super().poll(0)) and (left_s := end_s - time.monotonic()) > 0:
            # a descriptor of libzmq tells of what came after it was asked, and may tell of nothing
            self._select([_descriptor(source) for source, _ in self.sockets], [], [], min(left_s, LOOK_AGAIN_S))
        return happened


def _descriptor(source: Any) -> int:
    return int(source.get(zmq.FD) if isinstance(source, zmq.Socket) else source.fileno())
