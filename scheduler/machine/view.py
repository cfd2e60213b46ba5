"""What a policy sees, and what the engine keeps of the machine: records of integers, compiled or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from layerweaver.scheduler.machine.records import record_type

__all__ = [
    "COUNT_LIMIT",
    "FETCH",
    "HEAD",
    "HOLD",
    "MACHINE",
    "NEVER",
    "Fetch",
    "Head",
    "Machine",
    "Memory",
    "Row",
    "View",
]

NEVER = 2**62
"""A cycle that does not come: the deadline of a request without one."""

HOLD = -1
"""What a policy returns to schedule nothing until ``machine.hold_until``, or until something happens."""

COUNT_LIMIT = 2**59
"""Scaled bytes counted from the origin stay near this; beyond it the counters are rebased."""


class Machine(Protocol):
    """State of the machine at a decision. Every field is int64.

    Attributes:
        now: Cycle of the decision.
        start: Earliest cycle at which the chosen row's fetch can start.
        fetch_end: ``tm``: end of the last fetch.
        compute_end: ``tc``: end of the last compute.
        rate: Scaled bytes per cycle.
        scale: Scaled bytes per byte.
        buffer_scaled: Capacity of the weight buffer.
        free_scaled: Space free at ``start``.
        room_scaled: ``min over live entries j of A_j + (tc - c_j) b``: what could be fetched by ``tc`` as
            far as space goes, before any candidate is counted (meaningless when ``compute_end <= start``,
            and under policies that do not name it).
        longest_fetch_cycles: Longest fetch of any row among the models that have a head request.
        ready_count: Tenants that have a head request: the first entries of ``ready``.
        hidden_count: Tenants whose head may not be committed yet: the next ones in ``ready``, unordered.
        tenant_count: Tenants declared.
        one_kind: 1 when all declared models are compute-intensive or all are memory-intensive.
        kinds_by_size: 1 when they are not, but only by the sizes of batches that the scheduler chooses: those
            that there are decide whether anything is there to weave.
        running: Tenant of the row scheduled last if its request has rows left, else -1.
        mode: Set by the policy: why it chose, an index into its ``modes`` (0 before each decision).
        hold_until: Set by a policy that returns :data:`HOLD`: cycle of the next decision, unless a request
            arrives, a batch timer expires or the last compute ends before it (:data:`NEVER` before each
            decision).
        decision_cycles: Cycles from a decision to the start of the fetch it decides.
        clock_hz: Cycles per second.
        queued: Requests waiting at all tenants, head batches included.
        first: Position of the oldest live entry in the ring of fetches.
        last: Position after the newest.
        mask: Capacity of the ring minus 1.
        window_first: Position of the smallest key in the monotone queue.
        window_last: Position after its last.
        appended_scaled: Bytes appended to the list since the origin.
        origin: Cycle from which keys count.
        all_can_wait: 1 when every deadline is at least a quarter of the longest request of any tenant.
        exempt_cycles: Three eighths of the second least time from arrival to deadline of any tenant
            (:func:`layerweaver.scheduler.rules.patience.note_patience`).
    """

    now: int
    start: int
    fetch_end: int
    compute_end: int
    rate: int
    scale: int
    buffer_scaled: int
    free_scaled: int
    room_scaled: int
    longest_fetch_cycles: int
    ready_count: int
    hidden_count: int
    tenant_count: int
    one_kind: int
    kinds_by_size: int
    running: int
    mode: int
    hold_until: int
    decision_cycles: int
    clock_hz: int
    queued: int
    first: int
    last: int
    mask: int
    window_first: int
    window_last: int
    appended_scaled: int
    origin: int
    all_can_wait: int
    exempt_cycles: int


class Row(Protocol):
    """One row of a model. Every field is int64.

    Attributes:
        compute_cycles: Cycles on the compute engine.
        fetch_cycles: Cycles of its fetch without stalls, rounded up.
        dram_scaled: Traffic.
        weight_scaled: What becomes resident.
        compute_scaled: What the DMA could move during its compute (``compute * rate``).
        inherent_scaled: Memory idle it causes by itself.
        remaining_cycles: Standalone time of what is left of the request from this row on.
        live_bytes: Activations alive while it runs.
    """

    compute_cycles: int
    fetch_cycles: int
    dram_scaled: int
    weight_scaled: int
    compute_scaled: int
    inherent_scaled: int
    remaining_cycles: int
    live_bytes: int


class Head(Row, Protocol):
    """The head request (or batch) of one tenant: its next row, and more. Every field is int64.

    Attributes:
        rows_left: Rows not yet scheduled.
        row: Next row within the model.
        deadline: Last cycle at which the completion is in time; :data:`NEVER` without a deadline.
        latest_start: Last cycle at which what is left, alone on the machine, could begin and still be in
            time: ``deadline - remaining_cycles``; :data:`NEVER` without a deadline.
        compute_intensive: 1 if the model is compute-intensive, else 0.
        longest_fetch_cycles: Longest fetch of any row of the model.
        standalone_cycles: Standalone time of the whole request.
        arrival: Cycle at which the (oldest) request arrived.
        since: Cycle at which the request became head.
        last_start: Cycle at which its last fetch started; ``since`` before the first.
        request: Number of the batch's first request within its tenant.
        batch: Requests in the batch.
        profile: Profile it runs at, an index over all tenants' profiles.
        priority: 1, 3 or 9.
        queued: Requests of the tenant waiting, the head batch included.
        passed: Those of them that cannot be in time any more and let the others pass (see ``hopeless``).
        hopeless: 1 if the head is one of these, because no other is waiting; only under a policy that defers
            the hopeless.
        newest: Cycle at which the last request of the tenant arrived.
        arrived: Requests of the tenant that arrived so far.
        left_compute_cycles: Compute cycles of the rows not yet scheduled.
        left_fetch_cycles: Fetch cycles of these, without stalls.
        limit_cycles: From arrival to deadline; :data:`NEVER` without one.
        delay_cycles: Longest time for which the oldest request waits for a fuller batch.
        queue_limit: Requests that may wait; :data:`NEVER` without a limit.
        full: The largest batch whose standalone time fits the deadline (the smallest if none does); where the
            scheduler chooses batches, the one it would rather have than any other.
        full_standalone_cycles: Standalone time of a batch of that size.
        full_compute_cycles: Compute cycles of such a batch.
        full_fetch_cycles: Fetch cycles of such a batch.
        served_compute_cycles: Compute cycles the tenant was given so far, over all its requests.
        served_fetch_cycles: Fetch cycles the tenant was given so far, without stalls.
        model_compute_cycles: Compute cycles of the whole model.
        model_fetch_cycles: Fetch cycles of the whole model.
    """

    rows_left: int
    row: int
    deadline: int
    latest_start: int
    compute_intensive: int
    longest_fetch_cycles: int
    standalone_cycles: int
    arrival: int
    since: int
    last_start: int
    request: int
    batch: int
    profile: int
    priority: int
    queued: int
    passed: int
    hopeless: int
    newest: int
    arrived: int
    left_compute_cycles: int
    left_fetch_cycles: int
    limit_cycles: int
    delay_cycles: int
    queue_limit: int
    full: int
    full_standalone_cycles: int
    full_compute_cycles: int
    full_fetch_cycles: int
    served_compute_cycles: int
    served_fetch_cycles: int
    model_compute_cycles: int
    model_fetch_cycles: int


class Fetch(Protocol):
    """One entry of the fetch list, and one slot of the monotone queue. Every field is int64.

    Attributes:
        before_scaled: Bytes appended before this entry since the origin.
        done: Cycle at which its compute ends and its weights are freed.
        key: ``before_scaled - (done - origin) * rate``.
        window: Slot of the monotone queue: position of an entry.
    """

    before_scaled: int
    done: int
    key: int
    window: int


class Memory(NamedTuple):
    """What belongs to the policy alone.

    Attributes:
        tenants: What it remembers of each tenant, by tenant index; zero at the start.
        common: What it remembers beside; zero at the start.
        tables: What it prepared for these tenants.
    """

    tenants: Any
    common: Any
    tables: Any


class View(NamedTuple):
    """What a decision sees.

    Attributes:
        machine: State of the machine.
        heads: One per tenant, by tenant index; only those listed in ``ready`` have a request.
        ready: Tenants with a head request, ascending: the first ``machine.ready_count`` entries.
        fetches: The fetch list, for the functions of this module.
        spare: Room for another list of tenants; its content does not last from decision to decision.
    """

    machine: Machine
    heads: Sequence[Head]
    ready: Sequence[int]
    fetches: Sequence[Fetch]
    spare: Sequence[int] = ()


MACHINE = record_type(Machine)
HEAD = record_type(Head)
FETCH = record_type(Fetch)
