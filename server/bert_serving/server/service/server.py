"""`BertServer`: the service as a thread of the calling process, which wires its parts together. No logic."""

from __future__ import annotations

import argparse
import importlib
import logging
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from bert_serving.client.keys import ClientKeys
from bert_serving.client.wire import Command, encode_command
from bert_serving.server.config import ServerConfig
from bert_serving.server.devices import assign_devices, visible_gpus
from bert_serving.server.errors import BertServerError, ConfigError, ServiceError, StartError
from bert_serving.server.gateway.files import check_files
from bert_serving.server.launchers.base import Launcher
from bert_serving.server.launchers.local import LocalLauncher
from bert_serving.server.log import set_up_logging
from bert_serving.server.model_name import model_name
from bert_serving.server.options import config_of
from bert_serving.server.service.dry_run import rehearsal
from bert_serving.server.service.processes import Processes
from bert_serving.server.service.supervisor import Supervisor
from bert_serving.server.transport import sockets
from bert_serving.server.transport.curve import check_keys
from bert_serving.server.transport.temporary import graph_folder
from bert_serving.server.ventilator.status import Description
from bert_serving.server.version import __version__

log = logging.getLogger(__name__)

SIGNALS_INTERVAL_S = 0.2
"""Who waits without end wakes so often. Python's handlers run in the main thread alone, and the system may give a
signal to another one, above all to one that starts a process just then. Who sleeps hears nothing of it."""


class Readiness(threading.Event):
    """Set when the service is ready. `wait` raises if it failed instead, so that nobody waits forever."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: BertServerError | None = None

    def fail(self, failure: BertServerError) -> None:
        """Wake those who wait, with an error."""
        self.failure = failure
        self.set()

    def wait(self, timeout: float | None = None) -> bool:
        """True when ready, False if `timeout` seconds went by. Raises what made the service fail."""
        while not (waited := super().wait(SIGNALS_INTERVAL_S if timeout is None else timeout)) and timeout is None:
            pass
        if self.failure is not None:
            raise self.failure
        return waited

    def is_set(self) -> bool:
        return super().is_set() and self.failure is None


class BertServer(threading.Thread):
    """A bert-as-service server.

        with BertServer(model_dir=DIR, cpu=True) as server:
            ...  # ready here

    The options are those of `bert-serving-start`, by name; or `args` holds them, a namespace of `get_args_parser()`, as
    in 1.10, or a `ServerConfig`. Raises ConfigError or StartError at once if an option or a file of the model is wrong.

    `start` returns immediately. `is_ready.wait()` returns when every worker has encoded a sentence, and raises if the
    start failed; `is_stopping` is set when the service begins to stop; `failure` is what ended it, if it failed.
    """

    def __init__(self, args: argparse.Namespace | ServerConfig | None = None, **options: Any) -> None:
        super().__init__(name="bert-server")
        config = _config(args, options)
        set_up_logging("SUPERVISOR", config.verbose)
        if config.curve_dir is not None:
            check_keys(Path(config.curve_dir), has_gateway=config.http_port is not None)
        if config.http_port is not None:
            check_files(config)
        resolved: ServerConfig = _engine(config).resolve(config)
        self.config = replace(resolved, model_name=model_name(resolved))
        self.is_ready = Readiness()
        self.is_stopping = threading.Event()
        self.failure: BertServerError | None = None
        self._devices = self._assign_devices()
        if None in self._devices and not self.config.cpu:
            log.warning("no free GPU was found, so the workers run on the CPU; -cpu silences this warning")
        self._supervisor: Supervisor | None = None
        self._stop_asked: str | None = None

    def _assign_devices(self) -> Sequence[int | None]:
        if self.config.launcher == "ray":  # which shows each worker its own GPU as the first
            return [None if self.config.cpu else 0] * self.config.most_workers
        return assign_devices(self.config, [] if self.config.cpu else visible_gpus())

    def rehearse(self) -> str:
        """What would run, a line for each part. Raises StartError where a port cannot be had."""
        return rehearsal(self.config, self._devices, _engine(self.config).footprint(self.config))

    def run(self) -> None:
        """The thread's body; see `start`."""
        try:
            self._serve()
        except BertServerError as error:
            self.failure = error
        except Exception as error:
            log.error("the server failed", exc_info=True)
            self.failure = ServiceError(f"{type(error).__name__}: {error}")
        finally:
            if self.failure is not None or not self.is_ready.is_set():
                self.is_ready.fail(self.failure or StartError("the server was stopped before it was ready"))

    def _serve(self) -> None:
        with graph_folder(self.config.graph_tmp_dir) as graphs:
            children = replace(self.config, graph_tmp_dir=str(graphs), cpu=None in self._devices)
            description = Description.of(self.config, self._devices, __version__)
            with (
                closing(_launcher(children)) as launcher,
                closing(Processes(launcher)) as processes,
                closing(sockets.Wakeup()) as wakeup,
            ):
                self._supervisor = Supervisor(
                    self.config, self._devices, description, processes, wakeup, self.is_ready.set, self.is_stopping.set
                )
                if self._stop_asked:
                    self._supervisor.stop(self._stop_asked)
                self._supervisor.run()
        log.info("stopped")

    def stop(self, reason: str = "stop() was called", *, at_once: bool = False) -> None:
        """Ask the service to end and return at once; safe in a signal handler and from any thread.

        What is accepted is finished first, within `-drain_timeout`; not if it should end `at_once`.
        """
        self._stop_asked = self._stop_asked or reason
        if self._supervisor is not None:
            self._supervisor.stop(reason, at_once=at_once)

    def join(self, timeout: float | None = None) -> None:
        """As of any thread; signals are heard meanwhile."""
        super().join(SIGNALS_INTERVAL_S if timeout is None else timeout)
        while timeout is None and self.is_alive():
            super().join(SIGNALS_INTERVAL_S)

    def close(self) -> None:
        """End the service and return when its processes, ports and temporary files are gone."""
        self.stop("close() was called")
        if self.ident is not None:
            self.join()

    def __enter__(self) -> BertServer:
        self.start()
        try:
            self.is_ready.wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def shutdown(
        args: argparse.Namespace | None = None,
        *,
        ip: str = "localhost",
        port: int = 5555,
        timeout: int = 5000,
        curve: str | None = None,
    ) -> None:
        """Stop the server at `ip`:`port`, or at those of `args`; `curve` is a folder of keys, see `BertClient`.

        Raises:
            ServiceError: none is there in `timeout` ms, or none that takes these keys.
            ValueError: the folder holds no keys.
        """
        if args is not None:
            ip, port, timeout, curve = args.ip, args.port, args.timeout, args.curve
        keys = None if curve is None else ClientKeys.load(curve)
        frames = encode_command(b"0", 0, Command.TERMINATION)
        if not sockets.push_once(ip, port, frames, timeout, keys):
            raise ServiceError(
                f"no bert-serving server took requests at {ip}:{port} within {timeout} ms: is the port right?"
            )


def _config(args: argparse.Namespace | ServerConfig | None, options: dict[str, Any]) -> ServerConfig:
    if args is None:
        return config_of(options)
    if options:
        raise ConfigError(f"give all options in args, or none there: {', '.join(options)}")
    return args if isinstance(args, ServerConfig) else ServerConfig.from_mapping(vars(args))


def _engine(config: ServerConfig) -> Any:
    return importlib.import_module(config.engine)


def _launcher(config: ServerConfig) -> Launcher:
    if config.launcher == "local":
        return LocalLauncher(config)
    from bert_serving.server.launchers.ray import RayLauncher  # slow to import, and there only where it is needed

    return RayLauncher(config)
