"""Errors of the server, in one tree. Errors that travel to a client are `bert_serving.client.errors.ServerError`s.

BertServerError
├── ConfigError     an option or a combination of options that cannot work
├── StartError      the service could not start: model, port, device or a process that died
├── HungError       a worker does not finish computing: it is restarted
└── ServiceError    the running service cannot go on: no worker is left, or the sink is gone
"""

from __future__ import annotations


class BertServerError(Exception):
    """Base of all errors that the server raises on purpose. Its text is one sentence for the operator."""


class ConfigError(BertServerError, ValueError):
    """An option, or a combination of options, that cannot work."""


class StartError(BertServerError, RuntimeError):
    """The service could not start."""


class HungError(BertServerError, RuntimeError):
    """A thread of this worker does not end what it has begun."""


class ServiceError(BertServerError, RuntimeError):
    """The running service cannot go on."""
