"""Costs in round figures, for simulations whose outcome can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bert_serving.server.config import ServerConfig
from scaling.cost import ClientCost, ComputeCost, Costs, InOutCost, SinkCost, VentilatorCost

NOTHING = 0.0


def made_costs(
    *,
    hop_s: float = 0.0,
    swings: tuple[float, ...] = (1.0,),
    client_s: float = 0.0,
    ventilator: dict[str, Any] | None = None,
    in_out: dict[str, Any] | None = None,
    **compute: Any,
) -> Costs:
    """A batch takes 10 ms and a millisecond for each token; what is not given costs nothing."""
    worker = ComputeCost(0.010, 0.001, NOTHING, NOTHING, longest=128)
    worker_io = InOutCost(NOTHING, NOTHING, NOTHING)
    free = VentilatorCost(**dict.fromkeys(VentilatorCost.__slots__, NOTHING))
    return Costs(
        replace(worker, **compute), replace(worker_io, **(in_out or {})), replace(free, **(ventilator or {})),
        SinkCost(NOTHING, NOTHING, NOTHING, NOTHING), ClientCost(client_s, NOTHING), hop_s, swings, (5, 10, 20), {},
    )  # fmt: skip


def made_config(**options: Any) -> ServerConfig:
    return ServerConfig(model_dir="simulated", **options)
