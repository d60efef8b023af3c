"""The limit on open files of a process, which every connection counts against."""

from __future__ import annotations

import logging
import resource
from math import inf

from bert_serving.server.errors import StartError

log = logging.getLogger(__name__)

_HOW = "(ulimit -n, LimitNOFILE, --ulimit nofile)"

ENOUGH = 1 << 16
BESIDE_CLIENTS = 256
"""Files that ventilator and sink have open besides the connections of clients, and some to spare: half of a limit that
is low."""
FOR_ITSELF = 128
FOR_A_WORKER = 4
"""Files without which a service cannot work: some 30 in a process, twice as many while a few clients come and go."""


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
    return inf if soft == resource.RLIM_INFINITY else soft - min(beside, soft // 2)


def shortage(max_clients: int) -> str | None:
    """Why so many clients cannot be connected at once under this limit, which each process has; None if they can."""
    room = connections_within_limit(BESIDE_CLIENTS)
    if room >= max_clients:
        return None
    return (
        f"{_limit()}, which is enough for {room} clients but too few for {max_clients} (-max_clients): raise the limit "
        f"to {max_clients + BESIDE_CLIENTS} {_HOW}, or lower -max_clients"
    )


def check_limit(most_workers: int) -> None:
    """Raise StartError if this process may open too few files for a service with so many workers."""
    least = FOR_ITSELF + FOR_A_WORKER * most_workers
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < least:
        raise StartError(f"{_limit()}, but this server needs {least}: raise the limit {_HOW}")


def _limit() -> str:
    return f"a process may have {resource.getrlimit(resource.RLIMIT_NOFILE)[0]} open files"
