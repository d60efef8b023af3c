"""A Ray cluster on this machine: raylets that stand for machines of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from folders import SUPPORT

STORE_BYTES = 200 << 20
Machines = Any
"""A `ray.cluster_utils.Cluster`."""


@contextmanager
def ray_machines(head_cpus: int, others: int) -> Iterator[Machines]:
    """A head with room for so many workers, and other machines with room for one each."""
    # where these machines find the fake engine
    variables = {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(SUPPORT)}
    with patch.dict(os.environ, variables):
        from ray.cluster_utils import Cluster

        head = {"num_cpus": head_cpus, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        machines = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(others):
                add_machine(machines)
            yield machines
        finally:
            machines.shutdown()


def add_machine(machines: Machines) -> Any:
    """One more, with room for a worker."""
    return machines.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
