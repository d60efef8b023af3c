"""The Ray cluster of a session. Who takes a machine away puts another in its place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ray_machines import Machines, ray_machines


@pytest.fixture(scope="session")
def cluster() -> Iterator[Machines]:
    """A head without room for workers, and two machines with one core each."""
    with ray_machines(head_cpus=0, others=2) as machines:
        yield machines
