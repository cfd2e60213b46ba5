"""The details of a run, from a second run that records the interesting part of the schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from layerweaver.backend_sim.engine import Progress, run
from layerweaver.backend_sim.load import SimulationInput
from layerweaver.backend_sim.outcome import SimulationOutcome
from layerweaver.backend_sim.report.details import simulation_details, window_of_interest
from layerweaver.backend_sim.timeline_trace import scheduled_times
from layerweaver.scheduler.policies.contract import Policy

__all__ = ["RECORDED_LAYERS", "collect_details"]

RECORDED_LAYERS = 200_000
"""Runs of at most so many layers are recorded whole; of longer ones, a window."""

_HORIZON_LAYERS = 2_000_000


def collect_details(
    make_input: Callable[[], SimulationInput], policy: Policy, outcome: SimulationOutcome
) -> dict[str, Any]:
    """What a report draws of a run beyond its totals.

    The engine is deterministic, so running it again with recording on gives the schedule of the very
    same run. The second run stops after the recorded part, and that part is looked for within the first
    two million layers, so that it costs a fraction of a second.

    Args:
        make_input: Makes the run's input with fresh sources.
        policy: The run's policy.
        outcome: The run's result.

    Returns:
        The value of the key ``details`` of a ``simulate`` document.
    """
    given = make_input()
    scheduled_ns = scheduled_times(given, outcome)
    clock_hz = given.machine.clock_hz
    horizon_ns = None
    if outcome.layers_executed > _HORIZON_LAYERS:
        share = _HORIZON_LAYERS / outcome.layers_executed
        horizon_ns = int(outcome.end_cycles * share * 1e9 / clock_hz)
    window_ns = window_of_interest(given, outcome, scheduled_ns, horizon_ns=horizon_ns)
    if outcome.layers_executed <= RECORDED_LAYERS:
        record = (0, outcome.end_cycles + 1)
    else:
        margin = outcome.end_cycles * RECORDED_LAYERS // outcome.layers_executed // 2
        first, last = (edge * clock_hz // 10**9 for edge in window_ns[:2])
        record = (max(0, first - margin), last + margin)

    def past_the_window(progress: Progress) -> bool:
        return progress.now_cycles > record[1]

    again = run(
        make_input(),
        policy,
        record_cycles=record,
        progress=past_the_window,
        decisions_per_slice=RECORDED_LAYERS,
    )
    return simulation_details(given, outcome, scheduled_ns, log=again.log, window_ns=window_ns)
