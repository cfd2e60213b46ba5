"""What one trial of a peak search measured, tenant by tenant."""

from __future__ import annotations

import numpy as np

from layerweaver.backend_sim.engine.outcome import is_done, is_late
from layerweaver.backend_sim.results.latency import percentile_index
from layerweaver.backend_sim.results.schema.peak import TrialPoint, TrialTenant
from layerweaver.backend_sim.results.tokens import decoder_of, token_times
from layerweaver.backend_sim.run.run import Run

__all__ = ["trial_point"]


def trial_point(run: Run, qps: float, *, passed: bool) -> TrialPoint:
    """A trial as a point over load.

    A trial that was stopped because its verdict was certain has the values up to then, which understate how
    late its requests would have become.

    Returns:
        ``qps``, ``passed``, ``stopped_early`` and ``tenants`` with ``name``, ``violation_rate`` (late or
        dropped; None without a deadline) and ``p99_ms`` (of the completed ones; None if there are none).
    """
    scenario = run.prepared.scenario
    tenants: list[TrialTenant] = []
    for index, spec in enumerate(scenario.spec.tenants):
        latency_ns = run.all_latencies(index)
        done = latency_ns[is_done(latency_ns)]
        due = scenario.deadline_ns(index)
        lost = len(latency_ns) - (len(done) if due is None else int((~is_late(done, due)).sum()))
        decoder = decoder_of(run, index)
        missed = None if due is None else lost
        if decoder is not None:
            missed = token_times(run, index, decoder).late
        place = percentile_index(len(done), 0.99)
        tenants.append(
            {
                "name": spec.name,
                "violation_rate": None if missed is None or not len(latency_ns) else missed / len(latency_ns),
                "p99_ms": float(np.partition(done, place)[place]) / 1e6 if len(done) else None,
                "deadline_ms": None if due is None else due / 1e6,
            }
        )
    return {"qps": qps, "passed": passed, "stopped_early": run.stopped, "tenants": tenants}
