"""How the collector of cyclic garbage is set in a process of the service that is about to do its work. No socket."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 20_000
"""So many more objects than before make it look through the young ones: Python's own 700 are those of a few requests,
whose objects die by themselves. What a cycle keeps meanwhile is some megabytes at most."""


def settle() -> None:
    """Leave out from now on what is there: modules and the model live as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
