"""The limit on open files of a process, which every connection counts against."""

from __future__ import annotations

import logging
import resource
from math import inf

log = logging.getLogger(__name__)

ENOUGH = 1 << 16
BESIDE_CLIENTS = 256
"""Files that ventilator and sink have open beside the connections of clients, and some to spare."""


def raise_limit() -> None:
    """Allow as many as this user may have, within reason: many systems begin with 1,024, fewer than `-max_clients`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # some sandboxes forbid it
            log.debug("the limit of %d open files stays: %s", soft, error)


def connections_within_limit(beside: int) -> float:
    """How many connections this process may have that needs so many other files; infinity if nothing limits them."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return inf if soft == resource.RLIM_INFINITY else soft - beside


def shortage(max_clients: int) -> str | None:
    """Why so many clients cannot be connected at once under this limit, which each process has; None if they can."""
    room = connections_within_limit(BESIDE_CLIENTS)
    if room >= max_clients:
        return None
    return (
        f"a process may have {room + BESIDE_CLIENTS} open files, which is too few for {max_clients} clients "
        f"(-max_clients): raise the limit to {max_clients + BESIDE_CLIENTS} (ulimit -n, LimitNOFILE, --ulimit nofile), "
        "or lower -max_clients"
    )
