"""What a result holds: its documents as types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NotRequired, TypeAlias

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from layerweaver.backend_sim.results.details_schema import Counted, Details
from layerweaver.backend_sim.results.metric import Value
from layerweaver.backend_sim.run.groups import Group
from layerweaver.ir.limits import MAX_TENANTS

__all__ = ["Comparison", "Confidence", "Latency", "Run", "System", "Tenant"]

_LENIENT = ConfigDict(extra="allow", allow_inf_nan=False)
Share: TypeAlias = float | None
Count: TypeAlias = Annotated[int, Field(ge=0)]


@with_config(_LENIENT)
class Latency(TypedDict):
    """Latencies of one tenant, or times of its tokens, in ms; None where nothing completed."""

    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    max: float | None


@with_config(_LENIENT)
class TokenDeadline(TypedDict):
    """Limits of a language model: to the first token, per further token, between two; None where none is."""

    ttft_ms: float | None
    tpot_ms: float | None
    itl_ms: float | None
    mode: str | None


@with_config(_LENIENT)
class CacheShare(TypedDict):
    """Share of a language model's cache that was held, over time."""

    mean: Share
    max: Share


@with_config(_LENIENT)
class Language(TypedDict):
    """A language model in a run: its tokens, their times and its cache."""

    iterations: Count
    tokens_in: Count
    tokens_out: Count
    tokens_out_per_s: float
    ttft_ms: Latency
    tpot_ms: Latency
    itl_ms: Latency
    ttft_violation_rate: Share
    tpot_violation_rate: Share
    goodput_qps: float
    kv_occupancy: CacheShare
    kv_blocks: Count
    preemptions: Count
    recomputed_tokens: Count
    prefix_hit_rate: Share
    tokens_per_iteration: float
    padding_share: Share


@with_config(_LENIENT)
class Tenant(TypedDict):
    """One tenant of a run. Keys that older results lack are not required for reading."""

    name: str
    arrived: Count
    completed: Count
    dropped: Count
    timed_out: NotRequired[Count]
    qps: float
    latency_ms: Latency
    deadline_ms: NotRequired[float | None]
    deadline: NotRequired[TokenDeadline]
    violation_rate: Share
    status: NotRequired[str | None]
    verdict: NotRequired[str | None]
    reasons: NotRequired[list[str]]
    missing_queries: NotRequired[int | None]
    missing_s: NotRequired[float | None]
    offered_qps: NotRequired[float | None]
    standalone_ms: NotRequired[float]
    percentile: NotRequired[float]
    percentile_ms: NotRequired[float | None]
    early_stopping_ms: NotRequired[dict[str, float | None]]
    service_ms: NotRequired[float | None]
    queueing_ms: NotRequired[float | None]
    longest_wait_ms: NotRequired[float]
    batches: NotRequired[dict[str, int]]
    batch_size: NotRequired[dict[str, float | None]]
    queue_depth: NotRequired[dict[str, float | None]]
    energy_j: NotRequired[float]
    energy_per_inference_mj: NotRequired[float | None]
    percentiles_within: NotRequired[float]
    skipped_rows: NotRequired[int]
    latency_histogram: NotRequired[Counted]
    llm: NotRequired[Language]
    own: NotRequired[dict[str, Value]]


@with_config(_LENIENT)
class System(TypedDict):
    """The machine during a run; shares between 0 and 1."""

    stp: NotRequired[float | None]
    antt: NotRequired[float | None]
    fairness: NotRequired[float | None]
    compute_utilization: NotRequired[Share]
    dram_utilization: NotRequired[Share]
    idle: NotRequired[Mapping[str, Share]]
    offered_qps: NotRequired[float | None]
    offered_share: NotRequired[Share]
    bound_qps: NotRequired[float | None]
    bound_stp: NotRequired[float]
    deadline_mode_share: NotRequired[Share]
    decision_modes: NotRequired[dict[str, float]]
    energy_j: NotRequired[float]
    energy_counts: NotRequired[str]
    own: NotRequired[dict[str, Value]]


class Confidence(TypedDict):
    """Over repetitions, metric by metric: mean, sd, low, high and values, nested as the metrics are."""

    level: float
    tenants: list[dict[str, object]]
    system: dict[str, object]


@with_config(_LENIENT)
class PoolNpu(TypedDict):
    """One NPU of a pool: requests routed to it after the warm-up, and how busy it was."""

    name: str
    npu: str
    arrived: Count
    completed: Count
    dropped: Count
    timed_out: NotRequired[Count]
    share_of_requests: Share
    requests: dict[str, int]
    layers_executed: Count
    compute_utilization: Share
    dram_utilization: Share
    idle: Mapping[str, Share]


@with_config(_LENIENT)
class Run(TypedDict):
    """What ``simulate`` gives."""

    policy: str
    npu: str
    simulated_s: float
    tenants: Annotated[list[Tenant], Field(min_length=1, max_length=MAX_TENANTS)]
    system: System
    policy_options: NotRequired[Mapping[str, Value]]
    seed: NotRequired[int | None]
    seeds: NotRequired[int]
    layers_executed: NotRequired[int]
    details: NotRequired[Details | None]
    scenario: NotRequired[dict[str, object]]
    npus: NotRequired[list[PoolNpu]]
    groups: NotRequired[list[Group]]
    confidence: NotRequired[Confidence]
    warnings: NotRequired[list[str]]
    interrupted: NotRequired[bool]
    run: NotRequired[dict[str, Value]]


class Difference(TypedDict):
    """One policy's metrics less another's on common seeds, as in :class:`Confidence`."""

    policy: str
    against: str
    level: float
    tenants: list[dict[str, object]]
    system: dict[str, object]


class Comparison(TypedDict):
    """What ``compare`` gives; ``differences`` with ``--seeds``."""

    runs: list[Run]
    differences: NotRequired[list[Difference]]
