"""What ``peak`` gives: the highest rates, what each trial measured, and how they differ between policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from layerweaver.backend_sim.results.schema.fields import LENIENT
from layerweaver.backend_sim.results.schema.metric import Value
from layerweaver.backend_sim.results.schema.token import TokenDeadline

__all__ = ["Peak", "PeakDifference", "PeakRow", "Spread", "TrialPoint", "TrialTenant"]


@with_config(LENIENT)
class Spread(TypedDict):
    """A figure over repetitions: mean, standard deviation, 95% interval and every repetition's value."""

    mean: float
    sd: float
    low: float
    high: float
    values: list[float | None]


@with_config(LENIENT)
class TrialTenant(TypedDict):
    """One tenant in a trial; shares of requests that were late or dropped.

    A language model has ``deadline`` as in any run; ``deadline_ms`` is of others.
    """

    name: str
    violation_rate: NotRequired[float | None]
    percentile: NotRequired[float]
    p99_ms: NotRequired[float | None]
    ttft_p99_ms: NotRequired[float | None]
    tpot_p99_ms: NotRequired[float | None]
    deadline_ms: NotRequired[float | None]
    deadline: NotRequired[TokenDeadline]


@with_config(LENIENT)
class TrialPoint(TypedDict, total=False):
    """One trial of a search; older results have other keys."""

    qps: float
    passed: bool
    stopped_early: bool
    tenants: list[TrialTenant]


@with_config(LENIENT)
class PeakRow(TypedDict):
    """Peak rate of one policy, in requests per second over all tenants; named by what differs, too.

    ``status`` is ``met``, ``late`` (no rate tried keeps the deadlines) or ``too_short``: trials were too
    short for a peak, for the ``reasons``; ``needed_queries`` per trial would do, if any number would. Met
    means that a trial at that rate kept every percentile, not that early stopping would be content: of a run
    at the peak, whose share of late requests is just below the limit, it asks for many more queries.
    """

    policy: str
    policy_options: NotRequired[Mapping[str, Value]]
    peak_qps: float | None
    peak_qps_sd: NotRequired[float | None]
    peak_qps_low: NotRequired[float | None]
    peak_qps_high: NotRequired[float | None]
    share_of_bound: NotRequired[float | None]
    status: NotRequired[str]
    reasons: NotRequired[list[str]]
    needed_queries: NotRequired[int]
    bracket_qps: NotRequired[list[float | None] | None]
    trials: NotRequired[int | list[TrialPoint]]
    trial_points: NotRequired[list[TrialPoint]]
    monotone: NotRequired[bool]
    peaks_qps: NotRequired[list[float]]
    interrupted: NotRequired[bool]


@with_config(LENIENT)
class PeakDifference(TypedDict):
    """One policy's peak less another's on common seeds."""

    policy: str
    against: str
    level: float
    peak_qps: Spread | None


@with_config(LENIENT)
class Peak(TypedDict):
    """What ``peak`` gives."""

    bound_qps: float | None
    results: Annotated[list[PeakRow], Field(min_length=1)]
    scenario: NotRequired[dict[str, object]]
    search: NotRequired[dict[str, object]]
    seed: NotRequired[int | None]
    warnings: NotRequired[list[str]]
    notes: NotRequired[list[str]]
    differences: NotRequired[list[PeakDifference]]
    interrupted: NotRequired[bool]
