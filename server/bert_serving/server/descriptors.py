"""The limit on open files of a process, which every connection counts against."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

ENOUGH = 1 << 16
BESIDE_CLIENTS = 200
"""Files that a process has open beside the connections of clients, and some to spare."""


def raise_limit() -> None:
    """Allow as many as this user may have, within reason: many systems begin with 1,024, fewer than `-max_clients`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # some sandboxes forbid it
            log.debug("the limit of %d open files stays: %s", soft, error)


def shortage(max_clients: int) -> str | None:
    """Why so many clients cannot be connected at once under this limit, which each process has; None if they can."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY or limit >= max_clients + BESIDE_CLIENTS:
        return None
    return (
        f"a process may have {limit} open files, which is too few for {max_clients} clients (-max_clients): raise the "
        f"limit to {max_clients + BESIDE_CLIENTS} (ulimit -n, LimitNOFILE, --ulimit nofile), or lower -max_clients"
    )
