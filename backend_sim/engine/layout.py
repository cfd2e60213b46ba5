"""From a simulation's input to the engine's arrays; everything that could overflow is refused here."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from layerweaver.backend_sim.engine.events import no_events
from layerweaver.backend_sim.engine.input import SimulationInput, TenantLoad, _check
from layerweaver.backend_sim.engine.outcome import ScheduleLog
from layerweaver.backend_sim.engine.state import (
    CLOSED,
    DEPTH_BUCKETS,
    OPEN,
    PROFILE,
    SATURATED,
    TENANT,
    TOTALS,
    Profile,
    State,
)
from layerweaver.backend_sim.llm.load import build_llm
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop
from layerweaver.ir.clock import cycles_to_ns_up, ns_to_cycles_down, ns_to_cycles_up
from layerweaver.scheduler.machine.records import as_objects, as_records, declared, records
from layerweaver.scheduler.machine.rest import ROW, machine_at_rest, row_records
from layerweaver.scheduler.machine.view import COUNT_LIMIT, FETCH, HEAD, NEVER, View
from layerweaver.scheduler.offline import ModelKind, ModelProfile
from layerweaver.scheduler.policies.contract import Policy
from layerweaver.scheduler.rules.patience import hurries, note_patience, shortest_others

__all__ = ["LOG", "build_state"]


LOG = declared((field.name, np.int64) for field in dataclasses.fields(ScheduleLog)[:-1])
"""An entry of the log has the columns of :class:`ScheduleLog`, all but the names of the modes."""


_RING = 256


def build_state(
    given: SimulationInput,
    policy: Policy,
    record_cycles: tuple[int, int] | None,
    log_entries: int,
    compiled: bool,
) -> State:
    """Validate the input and lay out the engine's state, windows still empty.

    Raises:
        ScenarioError: If a tenant, rule or quantity is out of range.
    """
    _check(given, policy.spec.checkpoints)
    machine_spec, tenants = given.machine, given.tenants
    make = functools.partial(records, compiled=False)
    every = [profile for tenant in tenants for profile in tenant.profiles]
    machine = machine_at_rest(
        machine_spec, tenants=len(tenants), models=every, slots=_RING, compiled=compiled
    )
    machine.kinds_by_size = int(machine.one_kind == 0 and _go_by_size(tenants))

    totals = make(TOTALS, 1)[0]
    totals.dispatch_ahead, machine.decision_cycles = given.dispatch_ahead, given.decision_cycles
    totals.reach_cycles = COUNT_LIMIT // 2 // machine.rate
    totals.overlap, totals.checkpoints = int(policy.spec.overlap), int(policy.spec.checkpoints)
    totals.mode_count = len(policy.spec.modes)
    totals.lone_mode = -1
    if _is_lone(given, policy) and not record_cycles:
        totals.lone_mode = policy.spec.lone_mode
    totals.record_from, totals.record_to = (min(cycle, NEVER) for cycle in record_cycles or (0, 0))
    totals.warmup_ns = given.warmup_ns
    totals.measured_from = ns_to_cycles_up(given.warmup_ns, machine_spec.clock_hz)
    totals.cooldown_ns = totals.measured_until = NEVER
    if given.cooldown_ns is not None:
        totals.cooldown_ns = given.cooldown_ns
        totals.measured_until = ns_to_cycles_up(given.cooldown_ns, machine_spec.clock_hz)
    totals.work_since = totals.late_from = NEVER

    profiles, rows = make(PROFILE, len(every)), records(ROW, sum(item.table.rows for item in every))
    sizes = [size for tenant in tenants for size in tenant.batching.sizes]
    first = 0
    for index, (item, size) in enumerate(zip(every, sizes, strict=True)):
        rows[first : first + item.table.rows] = row_records(item)
        entry = profiles[index]
        entry.first_row, entry.rows, entry.batch = first, item.table.rows, size
        entry.compute_intensive = int(item.offline.kind is ModelKind.COMPUTE_INTENSIVE)
        entry.longest_fetch_cycles = item.offline.longest_fetch_cycles
        entry.standalone_cycles = item.standalone_cycles
        entry.model_compute_cycles = int(item.table.compute_cycles.sum())
        entry.model_fetch_cycles = int(item.table.memory_cycles.sum())
        first += item.table.rows

    queues, heads = make(TENANT, len(tenants)), make(HEAD, len(tenants))
    decoders = [tenant.decoder for tenant in tenants if tenant.decoder is not None]
    drops = policy.spec.drops_hopeless(policy.options)
    first_profile = 0
    alone = sum(tenant.profiles[0].standalone_cycles for tenant in tenants)
    preferred: list[int] = []
    for index, tenant in enumerate(tenants):
        _fill_tenant(queues[index], tenant, machine_spec.clock_hz)
        queues[index].drop_hopeless = int(tenant.drop_hopeless or (drops and tenant.decoder is None))
        # What is dropped needs not be passed over; language models pick their members.
        defers = policy.spec.defers_hopeless(policy.options) or tenant.batching.auto
        defers = defers and tenant.decoder is None
        queues[index].defer_hopeless = int(defers and not queues[index].drop_hopeless)
        queues[index].heeds_backlog = int(policy.spec.heeds_backlog and queues[index].defer_hopeless)
        queues[index].late_from = NEVER
        queues[index].first_profile = first_profile
        if tenant.decoder is not None:
            queues[index].decoder = decoders.index(tenant.decoder)
            queues[index].max_batch = tenant.decoder.rules.max_num_seqs
        queues[index].preferred = len(preferred)
        preferred.extend(sorted(tenant.batching.preferred))
        queues[index].auto = int(tenant.batching.auto)
        queues[index].others_cycles = min(NEVER, alone - tenant.profiles[0].standalone_cycles)
        _fill_work(profiles[first_profile : first_profile + len(tenant.profiles)])
        first_profile += len(tenant.profiles)
        _fill_head(heads[index], tenant, queues[index], machine_spec.clock_hz)

    _fill_hurries(queues, heads, tenants)
    ready = np.zeros(len(tenants), np.int64)
    note_patience(View(machine, heads, ready, ()))  # type: ignore[arg-type]

    members = [decoder.rules.max_num_seqs for decoder in decoders]
    empty, events = np.zeros(0, np.int64), no_events(len(tenants))
    if compiled:
        heads, queues = as_records(HEAD, heads), as_records(TENANT, queues)
        totals, profiles = as_records(TOTALS, [totals])[0], as_records(PROFILE, profiles)
    fetches = records(FETCH, _RING, compiled=compiled)
    return State(
        visible=View(machine, heads, ready, fetches, ready.copy()),  # type: ignore[arg-type]
        totals=totals,
        events=np.array(events, np.int64) if compiled else events,
        asking=np.zeros(len(tenants), np.int64),
        tenants=queues,
        profiles=profiles,
        rows=rows if compiled else as_objects(rows),
        sched=empty,
        latency=empty,
        batch_counts=np.zeros((len(every), max(sizes + members) + 1), np.int64),
        service_cycles=np.zeros((len(every), max(sizes + members) + 1), np.int64),
        depth_counts=np.zeros((len(tenants), DEPTH_BUCKETS), np.int64),
        preferred=np.array(preferred or [0], np.int64),
        mode_counts=np.zeros(len(policy.spec.modes), np.int64),
        recent=np.zeros(given.dispatch_ahead + 1, np.int64),
        log=records(LOG, log_entries),
        llm=build_llm(decoders, compiled=compiled) if decoders else (),
    )


def _go_by_size(tenants: Sequence[TenantLoad]) -> bool:
    """Whether only automatic tenants are of another kind than others, by the sizes of their batches."""
    settled = set()
    for tenant in tenants:
        kinds = {profile.offline.kind for profile in tenant.profiles}
        if len(kinds) == 1 or not tenant.batching.auto:
            settled |= kinds
    return len(settled) < 2


def _is_lone(given: SimulationInput, policy: Policy) -> bool:
    """Whether the only tenant is a language model whose rows go on without a decision for each."""
    decides_at_once = given.dispatch_ahead == 0 and given.decision_cycles == 0
    alone = len(given.tenants) == 1 and given.tenants[0].decoder is not None
    return alone and decides_at_once and policy.spec.lone_mode is not None


def _fill_head(head: Any, tenant: TenantLoad, queue: Any, clock_hz: int) -> None:
    """What a policy sees of a tenant whether or not it has a request."""
    head.priority, head.queue_limit, head.delay_cycles = (
        tenant.priority,
        queue.queue_limit,
        queue.delay_cycles,
    )
    head.limit_cycles = NEVER
    if tenant.deadline_ns is not None:
        head.limit_cycles = ns_to_cycles_down(tenant.deadline_ns, clock_hz)
    item, head.full = _full_batch(tenant, int(head.limit_cycles), int(queue.others_cycles))
    head.full_standalone_cycles = item.standalone_cycles
    head.full_compute_cycles = int(item.table.compute_cycles.sum())
    head.full_fetch_cycles = int(item.table.memory_cycles.sum())


def _fill_hurries(queues: Any, heads: Any, tenants: Sequence[TenantLoad]) -> None:
    others = shortest_others([int(head.limit_cycles) for head in heads])
    for index, tenant in enumerate(tenants):
        able = hurries(tenant.profiles[0].standalone_cycles, others[index])
        queues[index].hurries = int(queues[index].defer_hopeless and able)


def _full_batch(tenant: TenantLoad, limit_cycles: int, others_cycles: int) -> tuple[ModelProfile, int]:
    """The largest batch that fits the deadline; where the scheduler chooses, the one worth the most.

    That is what it takes from a long queue that has just come, if both engines have as much to do.
    """
    sized = list(zip(tenant.profiles, tenant.batching.sizes, strict=True))
    fitting = [pair for pair in sized if pair[0].standalone_cycles <= limit_cycles] or sized[:1]
    if not tenant.batching.auto or tenant.deadline_ns is None:
        return fitting[-1]
    others = others_cycles + tenant.profiles[0].standalone_cycles

    def worth(pair: tuple[ModelProfile, int]) -> Fraction:
        profile, size = pair
        left = max(0, limit_cycles - profile.standalone_cycles)
        work = int(profile.table.compute_cycles.sum()) + int(profile.table.memory_cycles.sum())
        return Fraction(size * left, (left + others + 1) * max(1, work))

    return max(fitting, key=worth)


def _fill_work(profiles: Sequence[Profile]) -> None:
    """Work of a tenant's batches, shifted until products with prices, chances and sizes fit 64 bits."""
    most = max(max(int(entry.model_compute_cycles), int(entry.model_fetch_cycles)) for entry in profiles)
    shift = max(0, most.bit_length() - 20)
    for entry in profiles:
        entry.compute_work = entry.model_compute_cycles >> shift
        entry.fetch_work = entry.model_fetch_cycles >> shift


def _fill_tenant(record: Any, tenant: TenantLoad, clock_hz: int) -> None:
    source, batching = tenant.source, tenant.batching
    record.decoder = -1
    record.next_cycle = record.timer = record.times_out = NEVER
    record.profiles, record.max_batch = len(tenant.profiles), batching.sizes[-1]
    record.preferred_count = len(batching.preferred)
    record.delay_cycles = ns_to_cycles_up(batching.delay_ns, clock_hz)
    record.deadline_ns = -1 if tenant.deadline_ns is None else tenant.deadline_ns
    record.queue_limit = NEVER if tenant.queue_limit is None else tenant.queue_limit
    record.timeout_cycles = NEVER
    if tenant.timeout_ns is not None:
        record.timeout_cycles = ns_to_cycles_down(tenant.timeout_ns, clock_hz)
    record.max_queries = NEVER
    standalone_ns = cycles_to_ns_up(tenant.profiles[0].standalone_cycles, clock_hz)
    record.back_off_ns = max(1, standalone_ns)
    if source is None or isinstance(source, OpenLoop):
        record.source = OPEN
        record.ended = int(source is None)
        return
    record.ended = 1
    record.duration_ns, record.min_queries = source.duration_ns, source.min_queries
    if source.max_queries is not None:
        record.max_queries = source.max_queries
    record.reserve = 2 * batching.sizes[-1] + 2
    if isinstance(source, ClosedLoop):
        record.source, record.think_ns = CLOSED, source.think_ns
        record.past_the_end = source.past_the_end
        record.back_off_ns = max(record.back_off_ns, source.think_ns)
        record.reserve += source.concurrency
    else:
        record.source = SATURATED
