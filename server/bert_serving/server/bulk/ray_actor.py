"""What runs in the actors of `on_ray`. Ray carries this module itself to them, not only its name, so that a machine
with another version of the package, or none, can say so: it imports from the package inside functions only."""

from __future__ import annotations

import os
import pickle
import threading
from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Any

import ray

MOST_DEATHS = 2
"""So often may something be begun by processes that then die: the next one takes a batch text by text, leaves out such
a text, and gives up a model that such processes were loading."""


class Begun:
    """An actor on the machine of the job, which outlives the others: what they have begun and not finished."""

    def __init__(self) -> None:
        self._times: Counter[Hashable] = Counter()

    def begin(self, what: Hashable) -> int:
        """How often that has been begun before."""
        self._times[what] += 1
        return self._times[what] - 1

    def finish(self, what: Hashable) -> None:
        del self._times[what]


class BulkActor:
    """Called by Ray Data with a batch of one row, whose `batch` is a pickled tuple: the number of a file, the number of
    the batch in it, records, and None or what is wrong with the file. The row that it returns has in `answer` the
    number of the file, their block, a pair of the shape of a vector and the model's fingerprint, and what makes going
    on pointless, or None.

    The model is loaded at the first call, so that Ray counts an actor as placed before.
    """

    def __init__(self, orders: Mapping[str, Any]) -> None:
        self._orders = orders
        self._machine = ray.util.get_node_ip_address()
        self._engine: Any = None

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[bytes]]:
        return {"answer": [pickle.dumps(self._answer(rows["batch"][0]))]}

    def _answer(self, content: bytes) -> tuple[int, Any, Any, str | None]:
        if fatal := self._refusal() or self._loaded():
            return -1, None, None, fatal
        number, batch, records, fatal = pickle.loads(content)
        block = self._block((number, batch), records) if fatal is None else None
        return number, block, (self._shape, self._engine.fingerprint), fatal

    def _refusal(self) -> str | None:
        ours = self._orders["version"]
        try:
            from bert_serving.server.version import __version__
        except ImportError:
            return f"the machine {self._machine} has no bert-serving-server: install {ours} there, as on this machine"
        if __version__ == ours:
            return None
        return (
            f"the machine {self._machine} has bert-serving-server {__version__}, and this job runs {ours}: "
            "install the same version there"
        )

    # -- the model ----------------------------------------------------------------------------------------------------

    def _loaded(self) -> str | None:
        """None once the model is there, or else why it is not."""
        if self._engine is not None:
            return None
        problems: list[str] = []
        if self._begin(me := ray.get_runtime_context().get_actor_id()) > MOST_DEATHS:
            problems.append(f"{MOST_DEATHS + 1} processes crashed on it")
        else:
            thread = threading.Thread(target=self._load, args=(problems,), name="loader", daemon=True)
            thread.start()
            thread.join(self._orders["load_timeout_s"])
        if self._engine is None and not problems:
            problems.append(f"it took longer than {self._orders['load_timeout_s']} s (-start_timeout)")
        self._finish(me)
        return f"the model could not be loaded on the machine {self._machine}: {problems[0]}" if problems else None

    def _load(self, problems: list[str]) -> None:
        try:
            os.environ.update(self._orders["environment"])
            from bert_serving.server.bulk.in_process import InProcess
            from bert_serving.server.bulk.records import Record
            from bert_serving.server.config import ServerConfig
            from bert_serving.server.launchers.ray_bundle import fetch_bundle
            from bert_serving.server.log import set_up_logging

            config = ServerConfig.from_json(self._orders["config"])
            set_up_logging("BULK", config.verbose)
            engine = InProcess(config, fetch_bundle(self._orders["prepared"]), self._orders["lanes"])
            self._shape = engine.block([Record(0, "hello")]).vectors[0].shape
            self._engine = engine
        except Exception as error:
            problems.append(str(error) if type(error).__module__.startswith("bert_serving") else repr(error))

    # -- a batch ------------------------------------------------------------------------------------------------------

    def _block(self, batch: Hashable, records: list[Any]) -> Any:
        """One that kills whoever takes it is taken text by text, until that text is isolated."""
        if self._begin(batch) < MOST_DEATHS:
            block = self._engine.block(records)
        else:
            from bert_serving.server.bulk.encoding import joined

            block = joined([self._alone((batch, record.line), record) for record in records])
        self._finish(batch)
        return block

    def _alone(self, what: Hashable, record: Any) -> Any:
        from bert_serving.server.bulk.encoding import Block

        if self._begin(what):
            block = Block([record], [None], {0: "it crashes the process that encodes it"}, 0)
        else:
            block = self._engine.block([record])
        self._finish(what)
        return block

    def _begin(self, what: Hashable) -> int:
        return int(ray.get(self._orders["begun"].begin.remote(what)))

    def _finish(self, what: Hashable) -> None:
        ray.get(self._orders["begun"].finish.remote(what))
