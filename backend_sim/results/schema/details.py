"""Shape of the key ``details``; written by :mod:`layerweaver.backend_sim.timeline.details`."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, NotRequired

from pydantic import AfterValidator, with_config
from typing_extensions import TypedDict

from layerweaver.backend_sim.results.schema.fields import LENIENT

__all__ = [
    "Batches",
    "Configuration",
    "Counted",
    "Details",
    "DetailsDocument",
    "Histogram",
    "InSystem",
    "Iterations",
    "LatencyHistogram",
    "OverTime",
    "TenantSeries",
    "Timeline",
    "TimelineRequests",
    "TokenSeries",
    "TokensOverTime",
    "Utilization",
]


@with_config(LENIENT)
class Counted(TypedDict):
    """Completed requests by a time: ``len(edges_ms) == len(counts) + 1`` unless both are empty."""

    edges_ms: list[float]
    counts: list[int]


@with_config(LENIENT)
class Histogram(Counted):
    """With those that never completed."""

    dropped: int


@with_config(LENIENT)
class LatencyHistogram(Histogram):
    """Latencies of one tenant."""

    tenant: str
    deadline_ms: float | None


@with_config(LENIENT)
class TenantSeries(TypedDict):
    """Counts per bin of scheduled time; ``in_system`` at every edge."""

    tenant: str
    arrived: list[int]
    late: list[int]
    dropped: list[int]
    in_system: list[int]


@with_config(LENIENT)
class OverTime(TypedDict):
    """Time series of the whole run."""

    edges_ms: list[float]
    tenants: list[TenantSeries]


@with_config(LENIENT)
class InSystem(TypedDict):
    """Share of time with so many requests waiting or running."""

    tenant: str
    requests: list[int]
    share_of_time: list[float]


@with_config(LENIENT)
class Batches(TypedDict):
    """How many batches of each size ran."""

    tenant: str
    size: list[int]
    count: list[int]


@with_config(LENIENT)
class TokensOverTime(TypedDict):
    """Tokens per second in every step; the share of the cache held at every edge."""

    edges_ms: list[float]
    tokens_per_s: list[float]
    cache_share: list[float]


@with_config(LENIENT)
class Iterations(TypedDict):
    """Iterations that were recorded, as columns."""

    end_ms: list[float]
    members: list[int]


@with_config(LENIENT)
class TokenSeries(TypedDict):
    """A language model."""

    tenant: str
    ttft_limit_ms: float | None
    tpot_limit_ms: float | None
    ttft: Histogram
    tpot: Histogram
    over_time: TokensOverTime
    iterations: Iterations


@with_config(LENIENT)
class Utilization(TypedDict):
    """Shares of every bin of the recorded time, per engine; each engine's add up to one."""

    edges_ms: list[float]
    compute: dict[str, list[float]]
    dram: dict[str, list[float]]


@with_config(LENIENT)
class TimelineRequests(TypedDict):
    """Requests that overlap the window, as columns."""

    tenant: list[int]
    request: list[int]
    due_ms: list[float]
    done_ms: list[float]
    late: list[bool]


@with_config(LENIENT)
class Timeline(TypedDict):
    """Executed rows of a window, as columns."""

    from_ms: float
    to_ms: float
    why: str
    rows_in_window: int
    tenant: list[int]
    request: list[int]
    batch: list[int]
    layer: list[str]
    dram_bytes: list[int]
    fetch_start_ms: list[float]
    fetch_end_ms: list[float]
    compute_start_ms: list[float]
    compute_end_ms: list[float]
    mode: list[str]
    resident_bytes: list[int]
    queued: list[int]
    requests: TimelineRequests


@with_config(LENIENT)
class MachineKind(TypedDict):
    """A kind of NPU as the engine sees it, and how many there are."""

    name: str
    clock_hz: int
    bandwidth_numerator: int
    bandwidth_denominator: int
    weight_buffer_bytes: int
    activation_buffer_bytes: int | None
    count: int


@with_config(LENIENT)
class ModelTotals(TypedDict):
    """What a tenant's model came to on a kind of NPU, at one batch size."""

    tenant: str
    npu: str
    batch: int
    layers: int
    rows: int
    kind: str
    standalone_cycles: int
    compute_cycles: int
    memory_cycles: int
    dram_bytes: int


@with_config(LENIENT)
class Configuration(TypedDict):
    """The machines, and what the models came to on them."""

    machines: list[MachineKind]
    models: list[ModelTotals]


@with_config(LENIENT)
class DetailsDocument(TypedDict):
    """What a report draws of a run beyond its totals."""

    latency: list[LatencyHistogram]
    over_time: OverTime
    in_system: list[InSystem]
    batches: list[Batches]
    utilization: Utilization | None
    timeline: Timeline | None
    configuration: NotRequired[Configuration]
    tokens: NotRequired[list[TokenSeries]]


def _check(details: DetailsDocument) -> DetailsDocument:
    for histogram in details["latency"]:
        if histogram["counts"]:
            _same(len(histogram["edges_ms"]), len(histogram["counts"]) + 1, "latency")
    edges = details["over_time"]["edges_ms"]
    _ascending(edges, "over_time")
    for series in details["over_time"]["tenants"]:
        _same(len(series["in_system"]), len(edges), "over_time")
        for counts in (series["arrived"], series["late"], series["dropped"]):
            _same(len(counts) + 1, len(edges), "over_time")
    for waiting in details["in_system"]:
        _same(len(waiting["requests"]), len(waiting["share_of_time"]), "in_system")
    for batches in details["batches"]:
        _same(len(batches["size"]), len(batches["count"]), "batches")
    for tokens in details.get("tokens", []):
        for times in (tokens["ttft"], tokens["tpot"]):
            if times["counts"]:
                _same(len(times["edges_ms"]), len(times["counts"]) + 1, "tokens")
        steps = tokens["over_time"]
        _ascending(steps["edges_ms"], "tokens")
        _same(len(steps["cache_share"]), len(steps["edges_ms"]), "tokens")
        _same(len(steps["tokens_per_s"]) + 1, len(steps["edges_ms"]), "tokens")
        _same(len(tokens["iterations"]["end_ms"]), len(tokens["iterations"]["members"]), "tokens")
    activity = details["utilization"]
    if activity is not None:
        _ascending(activity["edges_ms"], "utilization")
        for shares in (*activity["compute"].values(), *activity["dram"].values()):
            _same(len(shares) + 1, len(activity["edges_ms"]), "utilization")
    if details["timeline"] is not None:
        _columns(details["timeline"], "timeline")
        _columns(details["timeline"]["requests"], "timeline.requests")
    return details


def _same(found: int, wanted: int, where: str) -> None:
    if found != wanted:
        raise ValueError(f"{where} has {found} values where {wanted} belong")


def _ascending(edges: list[float], where: str) -> None:
    if len(edges) < 2 or any(second <= first for first, second in pairwise(edges)):
        raise ValueError(f"the edges of {where} are not two or more ascending values")


def _columns(table: Timeline | TimelineRequests, where: str) -> None:
    lengths = {len(column) for column in table.values() if isinstance(column, list)}
    if len(lengths) > 1:
        raise ValueError(f"the columns of {where} differ in length")


Details = Annotated[DetailsDocument, AfterValidator(_check)]
