"""Workers as Ray actors, on the machines of a cluster where Ray finds room; all other children run on this one.

Ray places actors, does not restart workers by itself, and reports when one is gone. It also sends them what `prepare`
wrote, see `ray_bundle.py`, so only this machine needs the model's folder. Actors are spread one by one and not as a
placement group, which would be all or nothing: a service may start with fewer workers (`-min_worker`).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.util import get_node_ip_address

from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError, ServiceError, StartError
from bert_serving.server.launchers.base import Process
from bert_serving.server.launchers.local import LocalLauncher
from bert_serving.server.launchers.ray_bundle import fetch_bundle, shared_bundle
from bert_serving.server.log import set_up_logging
from bert_serving.server.transport.listeners import is_every_host
from bert_serving.server.transport.orders import Orders, Role, WorkerNeeds
from bert_serving.server.version import __version__

_KNOCK_TIMEOUT_S = 10.0
_KNOCK_INTERVAL_S = 3.0
_HEAD_TIMEOUT_S = 30.0
"""A head that comes back before is not missed: workers go on meanwhile."""


class RayLauncher:
    """See `base.Launcher`. A thread watches the cluster's head."""

    def __init__(self, config: ServerConfig) -> None:
        """Joins the cluster. Raises StartError if there is none at `-ray_address`."""
        self._config = config
        self._local = LocalLauncher(config)
        self._is_ours = not ray.is_initialized()  # else a program that uses Ray runs this server
        try:
            if self._is_ours:
                _knock(config.ray_address)
                ray.init(config.ray_address, log_to_driver=config.verbose, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            raise StartError(
                f"no Ray cluster can be joined at {config.ray_address} (-ray_address): start one with `ray "
                f"start --head`, or name another ({str(error).splitlines()[0]})"
            ) from None
        self._bundles = ExitStack()
        self._processes: list[RayProcess] = []
        self._lost: str | None = None
        self._is_closed = threading.Event()
        threading.Thread(target=self._watch_head, name="ray-head", daemon=True).start()

    @property
    def remote_host(self) -> str:
        """What `-host` names, or else the address that Ray has for this machine."""
        return str(get_node_ip_address()) if is_every_host(self._config.host) else self._config.host

    def start(self, orders: Orders) -> Process:
        """A worker becomes an actor, everything else a process here. Raises ServiceError if the head is gone."""
        if orders.role is not Role.WORKER:
            return self._local.start(orders)
        if self._lost is not None:
            raise ServiceError(self._lost)
        process = RayProcess(orders, self._config)
        self._processes = [*(one for one in self._processes if one.exit_status() is None), process]
        return process

    def share(self, prepared: str) -> str:
        return self._bundles.enter_context(shared_bundle(prepared))

    def close(self) -> None:
        self._is_closed.set()
        self._bundles.close()
        if self._is_ours:
            ray.shutdown()

    def _watch_head(self) -> None:
        """Ray itself would wait for a minute and then end this process, with requests open and no word of why."""
        address = ray.get_runtime_context().gcs_address
        heard_s = time.monotonic()
        while not self._is_closed.wait(_KNOCK_INTERVAL_S):
            with suppress(OSError):
                _knock(address)
                heard_s = time.monotonic()
            if time.monotonic() > heard_s + _HEAD_TIMEOUT_S:
                self._lost = (
                    f"the head of the Ray cluster at {address} has not answered for {_HEAD_TIMEOUT_S:.0f} s: "
                    "restart the cluster, then this server"
                )
                for process in self._processes:
                    process.end(self._lost)
                return


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray would try for minutes and then end this process."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_TIMEOUT_S).close()


class RayProcess:
    """A worker somewhere in the cluster; see `base.Process`. A thread starts it, which takes as long as Ray likes."""

    def __init__(self, orders: Orders, config: ServerConfig) -> None:
        wanted = resources_of(config)
        self._wanted = ", ".join(f"{name}={number:g}" for name, number in wanted.items())
        self._reader, self._writer = os.pipe()
        self._report: dict[str, Any] = {}
        self._status: int | None = None
        self._has_ended = threading.Event()
        self._ending = threading.Lock()
        self._actor: ActorHandle | None = None
        self._is_unwanted = False
        about = {
            "version": __version__,
            "config": config.to_json(),
            "orders": orders.to_json(),
            "lanes": max(1, int(wanted.get("CPU", 1))),
            "environment": _environment(orders, config),
        }
        threading.Thread(target=self._begin, args=(wanted, about), name=f"ray-{orders.name}", daemon=True).start()

    def _begin(self, wanted: Mapping[str, float], about: Mapping[str, Any]) -> None:
        try:
            options = _ray_options(wanted)
            self._actor = ray.remote(scheduling_strategy="SPREAD", max_restarts=0, **options)(_Worker).remote()
            if self._is_unwanted:
                ray.kill(self._actor)
            self._actor.run.remote(about).future().add_done_callback(self._on_end)
        except Exception as error:
            self.end(_why(error))

    def _on_end(self, run: Future[str | None]) -> None:
        error = run.exception()
        self.end(run.result() if error is None else _why(error))

    def end(self, fatal: str | None) -> None:
        """It has ended, in order or for this reason; what is said first counts."""
        with self._ending:
            if self._status is None:
                self._report = {} if fatal is None else {"fatal": fatal}
                self._status = 0 if fatal is None else 1
                self._has_ended.set()
                os.write(self._writer, b"\0")

    @property
    def pid(self) -> int:
        return 0  # until it says so itself

    @property
    def stage(self) -> str:
        return f"waiting for Ray to find {self._wanted}"

    def fileno(self) -> int:
        return self._reader

    def read_report(self) -> dict[str, Any]:
        return self._report

    def exit_status(self) -> int | None:
        return self._status

    def kill(self) -> None:
        self._is_unwanted = True
        if self._actor is not None:
            ray.kill(self._actor)

    def wait(self, timeout_s: float) -> bool:
        return self._has_ended.wait(timeout_s)

    def close(self) -> None:
        self.kill()  # else its process stays, waiting for another call
        self.end("it was not waited for")  # so that nobody writes into the pipe any more
        os.close(self._reader)
        os.close(self._writer)


def _why(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return f"Ray lost it: {lines[0]}" if isinstance(error, RayActorError) else lines[-1]


def resources_of(config: ServerConfig) -> dict[str, float]:
    """What Ray has to find for each worker."""
    if not config.ray_resources:
        return {"CPU": 1.0} if config.cpu else {"GPU": 1.0}
    return {name: float(number) for name, _, number in (text.partition("=") for text in config.ray_resources)}


def _ray_options(wanted: Mapping[str, float]) -> dict[str, Any]:
    """The same in Ray's words: it has names of its own for some."""
    own = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    options = {"num_cpus": 0.0, **{own[name]: number for name, number in wanted.items() if name in own}}
    return {**options, "resources": {name: number for name, number in wanted.items() if name not in own}}


def _environment(orders: Orders, config: ServerConfig) -> dict[str, str]:
    """Which GPU it sees is for Ray to say."""
    return {name: value for name, value in orders.environment.items() if config.cpu or not name.startswith("CUDA_")}


class _Worker:
    """The process of a worker."""

    def run(self, about: Mapping[str, Any]) -> str | None:
        """Run until the ventilator says to stop; why it ended if it was for another reason."""
        node = ray.util.get_node_ip_address()
        if about["version"] != __version__:
            return (
                f"the machine {node} has bert-serving-server {__version__}, and this service is {about['version']}: "
                "install the same version there"
            )
        os.environ.update(about["environment"])
        config, orders = ServerConfig.from_json(about["config"]), Orders.from_json(about["orders"])
        set_up_logging(orders.log_role, config.verbose)
        from bert_serving.server.worker import loop

        actor = ray.get_runtime_context().get_actor_id()
        assert isinstance(orders.needs, WorkerNeeds)
        assert orders.contact is not None
        needs = replace(orders.needs, lanes=about["lanes"], where=f"{node}, actor {actor[:8]}")
        try:
            loop.run(config, orders.contact, needs, fetch_bundle)
        except BertServerError as error:
            return str(error)
        except MemoryError:
            return f"out of memory on the machine {node}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None
