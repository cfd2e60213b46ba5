"""Runs and the trials of searches as points over load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from layerweaver.backend_sim.results.limits import USUAL_PERCENTILE
from layerweaver.backend_sim.results.mixes import mix_labels
from layerweaver.backend_sim.results.naming import policy_labels
from layerweaver.backend_sim.results.reading import Documents
from layerweaver.backend_sim.results.schema.peak import PeakRow, TrialPoint, TrialTenant
from layerweaver.backend_sim.results.schema.tenant import Tenant

__all__ = ["LATENCY", "TPOT", "TTFT", "LoadPoint", "points_of_tenants"]


LATENCY, TTFT, TPOT = "latency", "TTFT", "TPOT"


@dataclass(frozen=True, slots=True)
class Tail:
    """A 99th percentile and its limit, in ms; None for unknown and for none."""

    p99_ms: float | None
    limit_ms: float | None


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One run at one load.

    Attributes:
        policy: The policy, with the options by which its settings on the page differ.
        mix: What tells all but its load from that of other points; empty where nothing does.
        tenant: A tenant's name.
        offered_qps: Arrivals per second over all tenants.
        violation_rate: Share of the tenant's requests that were late or dropped; None without a deadline.
        percentile: What must keep the limits.
        tails: 99th percentiles and their limits, by what they are of: latencies, and of a language model the
            times of its tokens, which alone have limits.
    """

    policy: str
    mix: str
    tenant: str
    offered_qps: float
    violation_rate: float | None
    percentile: float
    tails: Mapping[str, Tail]

    @property
    def p99_ms(self) -> float | None:
        """The 99th percentile of latencies."""
        return self.tails[LATENCY].p99_ms


def load_points(documents: Documents) -> tuple[LoadPoint, ...]:
    """Every run that has a rate as a point, and the recorded trials of peak searches; ascending in load."""
    runs = [run.document for run in documents.runs]
    mixes = mix_labels([item.get("scenario") for item in (*runs, *documents.peaks)], documents.files)
    of_runs, of_peaks = policy_labels(runs, documents.peaks)
    points = [
        LoadPoint(
            policy,
            mix,
            tenant["name"],
            offered_qps,
            tenant["violation_rate"],
            tenant.get("percentile", USUAL_PERCENTILE),
            _tails_of_run(tenant),
        )
        for run, policy, mix in zip(documents.runs, of_runs, mixes, strict=False)
        if (offered_qps := run.offered_qps) is not None
        for tenant in run.tenants
    ]
    searched = zip(documents.peaks, of_peaks, mixes[len(documents.runs) :], strict=True)
    for peak, labels, mix in searched:
        for row, policy in zip(peak["results"], labels, strict=True):
            for trial in _recorded_trials(row):
                points += [
                    LoadPoint(
                        policy,
                        mix,
                        tenant["name"],
                        trial["qps"],
                        tenant.get("violation_rate"),
                        tenant.get("percentile", USUAL_PERCENTILE),
                        _tails_of_trial(tenant),
                    )
                    for tenant in trial["tenants"]
                ]
    place = {policy: index for index, policy in enumerate(dict.fromkeys(point.policy for point in points))}
    order = {mix: index for index, mix in enumerate(dict.fromkeys(mixes))}
    return tuple(
        sorted(
            points,
            key=lambda point: (place[point.policy], order[point.mix], point.tenant, point.offered_qps),
        )
    )


def _tails_of_run(tenant: Tenant) -> dict[str, Tail]:
    found = {LATENCY: Tail(tenant["latency_ms"]["p99"], tenant.get("deadline_ms"))}
    due, tokens = tenant.get("deadline"), tenant.get("llm")
    if due is not None and tokens is not None:
        found[TTFT] = Tail(tokens["ttft_ms"]["p99"], due["ttft_ms"])
        found[TPOT] = Tail(tokens["tpot_ms"]["p99"], due["tpot_ms"])
    return found


def _tails_of_trial(tenant: TrialTenant) -> dict[str, Tail]:
    found = {LATENCY: Tail(tenant.get("p99_ms"), tenant.get("deadline_ms"))}
    if (due := tenant.get("deadline")) is not None:
        found[TTFT] = Tail(tenant.get("ttft_p99_ms"), due["ttft_ms"])
        found[TPOT] = Tail(tenant.get("tpot_p99_ms"), due["tpot_ms"])
    return found


def points_of_tenants(documents: Documents) -> dict[str, list[LoadPoint]]:
    """The points of each tenant; ascending in load."""
    found: dict[str, list[LoadPoint]] = {}
    for point in load_points(documents):
        found.setdefault(point.tenant, []).append(point)
    return found


def _recorded_trials(row: PeakRow) -> list[TrialPoint]:
    """The trials of a search that ran to their ends."""
    recorded = row.get("trial_points", row.get("trials"))
    if not isinstance(recorded, list):
        return []
    # A trial that was stopped when its verdict was certain would understate how late its requests became.
    return [
        trial
        for trial in recorded
        if "qps" in trial and "tenants" in trial and not trial.get("stopped_early")
    ]
