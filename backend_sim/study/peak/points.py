"""What one trial of a peak search measured, tenant by tenant."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import is_done, is_late
from layerweaver.backend_sim.results.latency import percentile_index
from layerweaver.backend_sim.results.schema.peak import TrialPoint, TrialTenant
from layerweaver.backend_sim.results.tokens import deadline_document, decoder_of, token_times
from layerweaver.backend_sim.run.run import Run

__all__ = ["trial_point"]


def trial_point(run: Run, qps: float, *, passed: bool) -> TrialPoint:
    """A trial as a point over load.

    A trial that was stopped because its verdict was certain has the values up to then, which understate how
    late its requests would have become.

    Returns:
        ``qps``, ``passed``, ``stopped_early`` and ``tenants`` with ``name``, ``violation_rate`` (late or
        dropped; None without a deadline), ``percentile`` (which must keep the deadline), ``p99_ms`` (of the
        completed ones; None if there are none) and ``deadline_ms``; a language model has ``ttft_p99_ms`` and
        ``tpot_p99_ms`` too, and ``deadline`` as in any run instead of ``deadline_ms``.
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
        tokens: TrialTenant = {"name": spec.name}
        if decoder is None:
            tokens["deadline_ms"] = None if due is None else due / 1e6
        else:
            times = token_times(run, index, decoder)
            missed = times.late
            tokens["ttft_p99_ms"], tokens["tpot_p99_ms"] = (
                _p99_ms(times.ttft_ns),
                _p99_ms(times.known_tpot_ns),
            )
            tokens["deadline"] = deadline_document(scenario.token_limits(index))
        tenants.append(
            {
                **tokens,
                "violation_rate": None if missed is None or not len(latency_ns) else missed / len(latency_ns),
                "percentile": 100 * scenario.percentile(index),
                "p99_ms": _p99_ms(done),
            }
        )
    return {"qps": qps, "passed": passed, "stopped_early": run.stopped, "tenants": tenants}


def _p99_ms(times_ns: NDArray[np.int64]) -> float | None:
    place = percentile_index(len(times_ns), 0.99)
    return float(np.partition(times_ns, place)[place]) / 1e6 if len(times_ns) else None
