"""The late requests that no policy can avoid, for a scenario's own arrivals."""

from __future__ import annotations

import numpy as np

from layerweaver.backend_sim.run.token_requests import TokenRequests
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.study.inputs import ScenarioRef, as_prepared
from layerweaver.backend_sim.traffic.source import ClosedLoop, Saturated
from layerweaver.backend_sim.traffic.stream import take_all
from layerweaver.ir import ScenarioError
from layerweaver.ir.clock import seconds_to_ns_nearest
from layerweaver.ir.limits import MAX_TIME_NS
from layerweaver.scheduler.in_time import InTimeBound, Stream, in_time_bound

__all__ = ["least_late"]


def least_late(source: ScenarioRef = None, request: TrafficRequest | None = None) -> InTimeBound:
    """How many of the requests that are measured can be in time at most.

    Its ``late_share`` is set beside what policies lose: more than the difference nobody can win.

    Args:
        source: The scenario, on one NPU, with arrivals that do not wait for it.
        request: Seeds, rates and number of queries; default as the scenario says.

    Raises:
        ScenarioError: If there are several NPUs, or a tenant's arrivals depend on completions.
    """
    prepared = as_prepared(source)
    spec = prepared.scenario.spec
    if len(prepared.machines) != 1:
        raise ScenarioError(
            "the bound on late requests is for one NPU", accepted="give a scenario without pool"
        )
    warmup_ns = seconds_to_ns_nearest(spec.warmup_s)
    cooldown_ns = prepared.cooldown_ns(request or TrafficRequest()) or MAX_TIME_NS
    streams = []
    for index, arrivals in enumerate(prepared.sources(request or TrafficRequest())):
        if isinstance(arrivals, (ClosedLoop, Saturated)):
            raise ScenarioError(
                "arrivals that wait for the NPU have no bound on late requests",
                where=prepared.scenario.where("tenants", index, "arrival"),
                accepted="give arrivals by the clock, such as poisson",
            )
        if isinstance(arrivals, TokenRequests):
            raise ScenarioError(
                "the bound on late requests is not built for language models",
                where=prepared.scenario.where("tenants", index),
                accepted="give tenants of fixed cost",
            )
        times = take_all(arrivals)
        times = times[np.searchsorted(times, warmup_ns) : np.searchsorted(times, cooldown_ns)]
        streams.append(Stream(prepared.npus[0].menus[index], times, prepared.scenario.deadline_ns(index)))
    return in_time_bound(streams)
