"""The limit on open files of a process, which every connection counts against."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

ENOUGH = 1 << 16


def raise_limit() -> None:
    """Allow as many as this user may have, within reason: many systems begin with 1,024, fewer than `-max_clients`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # some sandboxes forbid it
            log.debug("the limit of %d open files stays: %s", soft, error)
