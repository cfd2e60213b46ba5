"""How much of a run is done, as far as durations and numbers of queries tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from layerweaver.backend_sim.scenario.arrivals import TrafficRequest

if TYPE_CHECKING:
    from layerweaver.backend_sim.engine.loop import Progress, ProgressCallback
    from layerweaver.backend_sim.run.prepared import PreparedScenario

__all__ = ["as_part", "share_done"]


def share_done(
    prepared: PreparedScenario, request: TrafficRequest, reached: Progress, npu: int = 0
) -> float | None:
    """Share of a run that is done; None if no tenant says how long it goes on (such as a trace).

    A tenant is done when its requests have arrived and completed: its share is that of the arrivals (by the
    duration, or by the number of queries) times that of the arrived ones that have left.

    Args:
        prepared: The scenario.
        request: What varies between its runs.
        reached: How far the engine has come.
        npu: Which NPU of a pool is running; the ones before are done.
    """
    machines = prepared.machines
    spec = prepared.scenario.spec
    now_s = reached.now_cycles / machines[npu][0].clock_hz
    shares = []
    for index, tenant in enumerate(spec.tenants):
        arrived = reached.arrived[index]
        queries = (
            request.queries[index]
            if request.queries is not None
            else getattr(tenant.arrival, "queries", None) or None
        )
        known = []
        if queries is not None:
            known.append(arrived * len(machines) / queries)
        else:
            if spec.duration_s:
                known.append(now_s / spec.duration_s)
            if spec.min_queries:
                known.append(arrived * len(machines) / spec.min_queries)
        if known:
            left = (reached.completed[index] + reached.dropped[index]) / max(arrived, 1)
            shares.append(min(1.0, *known) * min(left, 1.0))
    if not shares:
        return None
    return (npu + min(shares)) / len(machines)


def as_part(progress: ProgressCallback | None, index: int, count: int) -> ProgressCallback | None:
    """A callback for one of several equal jobs, which tells the share of all of them."""
    if progress is None or count <= 1:
        return progress
    tell: Callable[[Progress], bool | None] = progress

    def told(reached: Progress) -> bool | None:
        share = None if reached.share is None else (index + reached.share) / count
        return tell(replace(reached, share=share))

    return told
