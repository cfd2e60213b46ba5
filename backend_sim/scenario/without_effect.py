"""Keys that a scenario states and that change nothing, or that keep each other from their work, in words.

What a key of one tenant does may depend on its other keys. A combination in which it can do nothing, whatever
the traffic, is said; data that happen not to reach a limit are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerweaver.backend_sim.scenario.llm_schema import TimingsRef
from layerweaver.backend_sim.scenario.model_refs import CostsRef
from layerweaver.backend_sim.scenario.schema import BatchSpec, ScenarioSpec, TenantSpec
from layerweaver.backend_sim.traffic.loops import ClosedLoopSpec
from layerweaver.backend_sim.traffic.mlperf import mlperf_limits
from layerweaver.backend_sim.traffic.offline import OfflineSpec
from layerweaver.backend_sim.traffic.recorded import TraceSpec
from layerweaver.backend_sim.traffic.renewal import PeriodicSpec

__all__ = ["reads_trace", "without_effect"]

_USUAL_PERCENTILE = 99.0
"""What must keep the deadline where nobody says otherwise."""


def reads_trace(tenant: TenantSpec) -> bool:
    """Whether its arrivals, or the lengths of its requests, come from a file of rows."""
    return isinstance(tenant.arrival, TraceSpec) or tenant.lengths_from_trace


def without_effect(spec: ScenarioSpec, deadlines_ns: Sequence[int | None]) -> Iterator[str]:
    """What is stated and changes nothing, a line each.

    Args:
        spec: The scenario's keys.
        deadlines_ns: Of every tenant, stated or MLPerf's.
    """
    if spec.router_seed and spec.pool is None:
        yield "router_seed changes nothing: there is no pool"
    elif spec.router_seed and spec.router != "power_of_two":
        yield f"router_seed changes nothing: router {spec.router} does not draw"
    if sum(member.count for member in spec.pool or ()) == 1 and spec.router != "round_robin":
        yield f"router {spec.router} changes nothing: the pool has one NPU"
    for tenant, due_ns in zip(spec.tenants, deadlines_ns, strict=True):
        reasons = (
            *_of_limit(tenant, due_ns),
            *_of_queue(tenant, due_ns),
            *_of_batch(tenant),
            *_of_waiting(tenant),
            *_of_arrival(tenant),
            *_of_tokens(tenant),
        )
        for reason in reasons:
            yield f"tenant {tenant.name!r}: {reason}"


def _of_limit(tenant: TenantSpec, due_ns: int | None) -> Iterator[str]:
    """MLPerf's name gives a limit and a percentile, unless both are stated or usual."""
    limit = "deadline_ms" if tenant.deadline_ms is not None else "deadline" if tenant.deadline else ""
    if tenant.deadline is not None and tenant.deadline.itl_ms is not None and tenant.deadline.mode == "mean":
        yield "deadline.itl_ms changes nothing in mode mean: it guides policies in mode strict only"
    arrival = tenant.arrival
    if limit and not arrival.bounded:
        yield (
            f"{limit} is no part of the status, which of {arrival.kind} asks for enough requests only; it "
            "says who is late, and guides policies"
        )
    if tenant.percentile is not None and arrival.bounded and due_ns is None and not tenant.deadline:
        yield "percentile judges nothing without a deadline; only percentile_ms is that of it"
    if tenant.mlperf_model is None:
        return
    if not tenant.arrival.bounded:
        if not isinstance(tenant.arrival, OfflineSpec) or tenant.arrival.samples is not None:
            yield f"mlperf_model changes nothing: {tenant.arrival.kind} has no limit of MLPerf"
        return
    if not limit:
        return
    usual = tenant.percentile is None and tenant.arrival.usual_percentile is None
    if not usual or mlperf_limits()[tenant.mlperf_model].percentile == _USUAL_PERCENTILE:
        yield f"mlperf_model changes nothing, since {limit} is the limit"


def _of_queue(tenant: TenantSpec, due_ns: int | None) -> Iterator[str]:
    queue = tenant.queue
    if queue.drop_hopeless and due_ns is None:
        yield "drop_hopeless changes nothing without a deadline"
    if queue.drop_hopeless and queue.timeout_ms and due_ns and queue.timeout_ms * 1e6 >= due_ns:
        yield "timeout_ms changes nothing, since drop_hopeless is sooner"
    arrival, clients = tenant.arrival, 1
    if isinstance(arrival, ClosedLoopSpec):
        clients = arrival.concurrency
    if queue.limit is not None and arrival.waits and queue.limit >= clients:
        yield f"queue.limit changes nothing: of {arrival.kind} never more than {clients} can wait"


def _of_batch(tenant: TenantSpec) -> Iterator[str]:
    batch = tenant.batch
    if isinstance(batch, BatchSpec):
        for key in ("delay_ms", "preferred"):
            if batch.max == 1 and getattr(batch, key):
                yield f"batch.{key} changes nothing, since batch.max is 1"
        if batch.max > 1 and batch.preferred and not batch.delay_ms and batch.sizes is not None:
            yield "batch.preferred changes nothing without delay_ms: a batch starts at once"
    if isinstance(tenant.model, CostsRef):
        unused = sorted(set(tenant.model.sizes) - set(tenant.batch_sizes()))
        if unused:
            ran = ", ".join(map(str, tenant.batch_sizes()))
            yield f"costs of batch {', '.join(map(str, unused))} change nothing: batches run at {ran}"


def _of_waiting(tenant: TenantSpec) -> Iterator[str]:
    """Batches that the queue does not let fill."""
    batch, queue = tenant.batch, tenant.queue
    largest, delay_ms = (batch.max, batch.delay_ms) if isinstance(batch, BatchSpec) else (batch, 0.0)
    if tenant.states_sizes and queue.limit is not None and queue.limit < largest:
        yield (
            f"no batch has more than {queue.limit} of {largest} requests: no more wait with queue.limit "
            f"{queue.limit}, and whoever comes meanwhile is dropped"
        )
    if largest > 1 and queue.timeout_ms is not None and queue.timeout_ms < delay_ms:
        yield (
            f"batch.delay_ms {delay_ms:g} never passes: with queue.timeout_ms {queue.timeout_ms:g} whoever "
            "waits for a batch that does not fill before is dropped"
        )


def _of_arrival(tenant: TenantSpec) -> Iterator[str]:
    arrival = tenant.arrival
    if isinstance(arrival, OfflineSpec) and arrival.samples is not None and arrival.qps is not None:
        yield "arrival.qps changes nothing, since samples says how many"
    if isinstance(arrival, PeriodicSpec) and arrival.seed is not None and not arrival.draws:
        yield "arrival.seed changes nothing without jitter_ms"


def _of_tokens(tenant: TenantSpec) -> Iterator[str]:
    """Keys of how a language model's requests share iterations."""
    llm = tenant.llm
    if llm is None:
        return
    if llm.long_prefill_threshold >= llm.max_batched_tokens:
        yield "llm.long_prefill_threshold changes nothing: no iteration has more tokens of anybody"
    if llm.scheduling == "static" and not llm.kv.reserve_full:
        yield "llm.kv.reserve_full changes nothing: a static batch has room for whole sequences"
    if isinstance(tenant.model, TimingsRef):
        usual = type(llm.kv).model_fields
        for key in ("dtype_bytes", "tile_mb"):
            if getattr(llm.kv, key) == usual[key].default:  # as results state what nobody did
                continue
            yield f"llm.kv.{key} changes nothing: a model of times has no traffic"
