"""How long a service has been running, by its own clock. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def uptime_s(status: Mapping[str, Any]) -> float | None:
    """Seconds between the two times that a status tells, both of the service's wall clock; None if it tells none."""
    try:
        begun, now = (datetime.fromisoformat(status[name]) for name in ("server_start_time", "server_current_time"))
    except (KeyError, TypeError, ValueError):
        return None
    return max(0.0, (now - begun).total_seconds())
