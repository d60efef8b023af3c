"""Tells whoever started the service, such as systemd with `Type=notify`, when it is ready and when it stops."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

_VARIABLE = "NOTIFY_SOCKET"


def notify(state: str) -> None:
    """Send `state`, such as READY=1, to the socket that NOTIFY_SOCKET names; nothing happens if that does not work."""
    address = os.environ.get(_VARIABLE, "")
    if not address:
        return
    if address.startswith("@"):  # in the abstract namespace of Linux
        address = "\0" + address[1:]
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)  # one that nobody reads must not hold up the service
        sock.sendto(state.encode(), address)
