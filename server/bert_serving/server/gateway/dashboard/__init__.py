"""The dashboard: a page, its style and its scripts as a browser gets them, and the events that keep it up to date.

The charts are drawn by hand (`charts.js`): no chart library that is kept up comes as static files in a Python package
without a framework that we do not need, and nothing is fetched from the internet.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from bert_serving.server.gateway.backend import Backend
from bert_serving.server.gateway.history import zmq_errors
from bert_serving.server.gateway.settings import choices_of, settings_of
from bert_serving.server.gateway.uptime import uptime_s

PAGE = "page.html"
ASSETS = {
    "style.css": "text/css",
    "page.js": "text/javascript",
    "connection.js": "text/javascript",
    "overview.js": "text/javascript",
    "charts.js": "text/javascript",
    "try.js": "text/javascript",
    "format.js": "text/javascript",
}


def text_of(name: str) -> str:
    """The content of a file of the page."""
    return files(__name__).joinpath(name).read_text("utf-8")


class Viewer:
    """What one viewer has seen, and so what is new to it."""

    def __init__(self, backend: Backend, models: list[str]) -> None:
        self._backend = backend
        self._models = models
        self._sent_s = 0.0
        self._settings_of = ""

    def next_event(self) -> dict[str, Any]:
        """How the service is now. The first has the samples of the last hour, later ones those that are new; the
        settings come along where they are new."""
        backend = self._backend
        samples = [sample for sample in backend.history.samples if sample["time_s"] > self._sent_s]
        if samples:
            self._sent_s = samples[-1]["time_s"]
        event = {
            "status": backend.status,
            "status_age_s": backend.status_age_s,
            "trouble": backend.trouble,
            "http": {"running": backend.slots.at_work, "waiting": backend.slots.waiting, "errors": backend.errors},
            "samples": samples,
            "model": backend.name,
            "models": self._models,
        }
        return event | self._of_status(backend.status)

    def _of_status(self, status: dict[str, Any]) -> dict[str, Any]:
        if "queue" not in status:
            return {}
        found: dict[str, Any] = {"uptime_s": uptime_s(status), "zmq_errors": zmq_errors(status)}
        started = str(status.get("server_start_time")) + str(status.get("model"))
        if started != self._settings_of:
            self._settings_of = started
            found |= {"settings": settings_of(status, self._backend.given), "choices": choices_of(status)}
        return found
