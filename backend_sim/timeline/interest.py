"""Which stretch of simulated time is worth drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.outcome import SimulationOutcome, is_late
from layerweaver.ir.text import figure

__all__ = ["Window", "window_of_interest"]

IntArray = NDArray[np.int64]

Window: TypeAlias = tuple[int, int, str]
"""Start and end in ns, and why."""


def window_of_interest(
    simulation_input: SimulationInput,
    outcome: SimulationOutcome,
    scheduled_ns: Sequence[IntArray],
    *,
    horizon_ns: int | None = None,
) -> Window:
    """The stretch of simulated time worth drawing, and why.

    That is where the first deadline was lost, or else where the slowest request ran.

    Args:
        simulation_input: The run's tenants.
        outcome: The run's result.
        scheduled_ns: When each request was due, per tenant.
        horizon_ns: Only requests due before it are looked at; None looks at all.

    Returns:
        Start and end in ns, and one sentence.
    """
    first: tuple[int, int, int] | None = None
    worst = (-1, 0, 0)
    for index, (tenant, result) in enumerate(zip(simulation_input.tenants, outcome.tenants, strict=True)):
        count = min(len(result.latency_ns), len(scheduled_ns[index]))
        if horizon_ns is not None:
            count = int(np.searchsorted(scheduled_ns[index][:count], horizon_ns))
        latency, due = result.latency_ns[:count], scheduled_ns[index][:count]
        if not count:
            continue
        slowest = int(latency.argmax())
        worst = max(worst, (int(latency[slowest]), index, slowest))
        if tenant.deadline_ns is None:
            continue
        late = np.flatnonzero(is_late(latency, tenant.deadline_ns))
        if len(late):
            lost = due[late] + tenant.deadline_ns
            soonest = int(lost.argmin())
            candidate = (int(lost[soonest]), index, int(late[soonest]))
            first = candidate if first is None else min(first, candidate)
    if worst[0] < 0:
        return 0, 1, "No request completed"
    _, index, request = first if first is not None else worst
    name = simulation_input.tenants[index].name
    latency_ns = int(outcome.tenants[index].latency_ns[request])
    due_ns = int(scheduled_ns[index][request])
    reason = "The first lost deadline" if first is not None else "The slowest request"
    start = max(0, due_ns - latency_ns // 4)
    return (
        start,
        due_ns + latency_ns + latency_ns // 4 + 1,
        f"{reason}: request {request} of {name}, {figure(latency_ns / 1e6, 4)} ms",
    )
