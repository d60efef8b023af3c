"""Workers as Ray actors, on whichever machines of a cluster Ray finds room; all other children run on this one.

Ray places actors, restarts no worker by itself and tells when one is gone. What `prepare` wrote goes into Ray's object
store, from which each machine takes it once; so no machine but this one needs the model's folder. Actors are spread one
by one and not as a placement group, which would be all or nothing: a service may begin with fewer workers
(`-min_worker`).
"""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util import get_node_ip_address
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError, StartError
from bert_serving.server.launchers.base import Orders, Process
from bert_serving.server.launchers.local import LocalLauncher
from bert_serving.server.log import set_up_logging
from bert_serving.server.version import __version__

_SHARED = "bert-serving-bundle-"
_KNOCK_TIMEOUT_S = 10.0
_EVERY_HOST = ("*", "0.0.0.0")


class RayLauncher:
    """See `base.Launcher`."""

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
                f"no Ray cluster can be joined at {config.ray_address} (-ray_address): start one by `ray start "
                f"--head`, or name another ({str(error).splitlines()[0]})"
            ) from None
        self._bundles = ExitStack()

    @property
    def remote_host(self) -> str:
        """What `-host` names, or else the address that Ray has for this machine."""
        return str(get_node_ip_address()) if self._config.host in _EVERY_HOST else self._config.host

    def start(self, orders: Orders) -> Process:
        """A worker becomes an actor, everything else a process here."""
        if orders.role != "worker":
            return self._local.start(orders)
        return RayProcess(orders, self._config)

    def share(self, prepared: str) -> str:
        return self._bundles.enter_context(shared_bundle(prepared))

    def close(self) -> None:
        self._bundles.close()
        if self._is_ours:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray would try for minutes and then end this process."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_KNOCK_TIMEOUT_S).close()


class RayProcess:
    """A worker somewhere in the cluster; see `base.Process`. A thread waits for its end."""

    def __init__(self, orders: Orders, config: ServerConfig) -> None:
        wanted = resources_of(config)
        about = {name: number for name, number in wanted.items() if name not in ("CPU", "GPU", "memory")}
        options = {"num_cpus": wanted.get("CPU", 0), "num_gpus": wanted.get("GPU", 0), "resources": about}
        if "memory" in wanted:
            options["memory"] = wanted["memory"]
        self._actor = ray.remote(scheduling_strategy="SPREAD", max_restarts=0, **options)(_Worker).remote()
        self._wanted = ", ".join(f"{name}={number:g}" for name, number in wanted.items())
        self._reader, self._writer = os.pipe()
        self._report: dict[str, Any] = {}
        self._status: int | None = None
        self._has_ended = threading.Event()
        about_run = {
            "version": __version__,
            "name": orders.name,
            "log_role": orders.log_role,
            "config": config.to_json(),
            "arguments": {**orders.arguments, "lanes": max(1, int(wanted.get("CPU", 1)))},
            "environment": _environment(orders, config),
        }
        threading.Thread(target=self._wait_for_end, args=(about_run,), name=f"ray-{orders.name}", daemon=True).start()

    def _wait_for_end(self, about: Mapping[str, Any]) -> None:
        try:
            fatal = ray.get(self._actor.run.remote(about))
        except RayActorError as error:
            fatal = f"Ray lost it: {str(error).splitlines()[0]}"
        except RayError as error:
            fatal = str(error).splitlines()[-1]
        self._report = {} if fatal is None else {"fatal": fatal}
        self._status = 0 if fatal is None else 1
        self._has_ended.set()
        os.write(self._writer, b"\0")

    @property
    def pid(self) -> int:
        return 0  # until it says so itself

    @property
    def stage(self) -> str:
        return f"waiting until Ray finds {self._wanted} for it"

    def fileno(self) -> int:
        return self._reader

    def read_report(self) -> dict[str, Any]:
        return self._report

    def exit_status(self) -> int | None:
        return self._status

    def kill(self) -> None:
        ray.kill(self._actor)

    def wait(self, timeout_s: float) -> bool:
        return self._has_ended.wait(timeout_s)

    def close(self) -> None:
        ray.kill(self._actor)  # else its process stays, waiting for another call
        self._has_ended.wait()
        os.close(self._reader)
        os.close(self._writer)


def resources_of(config: ServerConfig) -> dict[str, float]:
    """What Ray has to find for each worker."""
    if not config.ray_resources:
        return {"CPU": 1.0} if config.cpu else {"GPU": 1.0}
    return {name: float(number) for name, _, number in (text.partition("=") for text in config.ray_resources)}


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
                "install the same there"
            )
        os.environ.update(about["environment"])
        config = ServerConfig.from_json(about["config"])
        set_up_logging(about["log_role"], config.verbose)
        from bert_serving.server import worker

        actor = ray.get_runtime_context().get_actor_id()
        arguments = {**about["arguments"], "place": f"{node}, actor {actor[:8]}"}
        try:
            worker.run(config, arguments, fetch_bundle)
        except BertServerError as error:
            return str(error)
        except MemoryError:
            return f"out of memory on the machine {node}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None


# -- the bundle -------------------------------------------------------------------------------------------------------


@contextmanager
def shared_bundle(prepared: str) -> Iterator[str]:
    """Within the block, any process of this Ray job gets the file `prepared` by `fetch_bundle` of what this yields.

    An engine that prepares no file shares nothing.
    """
    if not Path(prepared).is_file():
        yield prepared
        return
    name = f"{_SHARED}{uuid.uuid4().hex}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": name, "num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    keeper = ray.remote(**options)(_Keeper).remote([ray.put(Path(prepared).read_bytes())])
    try:
        yield name
    finally:
        ray.kill(keeper)


def fetch_bundle(shared: str) -> str:
    """The path of what is shared, as a file of this machine, whose object store takes it once for all processes here.

    The file has no name and so is gone with this process.
    """
    if not shared.startswith(_SHARED):
        return shared
    (reference,) = ray.get(ray.get_actor(shared).reference.remote())
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as this process
    _open_files.append(file)
    file.write(ray.get(reference))
    file.flush()
    return f"/proc/self/fd/{file.fileno()}"


class _Keeper:
    """Leads to an object in the store by the actor's name. It is on the machine that owns the object."""

    def __init__(self, references: list[Any]) -> None:
        self._references = references

    def reference(self) -> list[Any]:
        return self._references


_open_files: list[IO[bytes]] = []
