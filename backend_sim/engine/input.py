"""What the engine is given: tenants with their profiles, queues and sources of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from layerweaver.backend_sim.llm.load import DecoderLoad
from layerweaver.backend_sim.traffic.source import ClosedLoop, OpenLoop, Saturated
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ScenarioError
from layerweaver.ir.clock import cycles_to_ns_up
from layerweaver.ir.limits import MAX_ARRIVAL_NS, MAX_CLOCK_HZ, MAX_TENANTS, MAX_TIME_NS, MAX_WORK_NS
from layerweaver.ir.text import counted, figure
from layerweaver.scheduler.machine.view import COUNT_LIMIT
from layerweaver.scheduler.offline import ModelProfile, fits_rows

__all__ = ["BatchRule", "SimulationInput", "TenantLoad", "request_ns"]


MAX_BATCH_COUNTS = 1 << 25
"""Batch sizes of all tenants times the largest: two numbers are kept for each."""


def _check(given: SimulationInput, checkpoints: bool) -> None:
    """Refuse what could leave 64 bits, or an array, anywhere in the engine."""
    machine = given.machine
    if not 0 < machine.clock_hz <= MAX_CLOCK_HZ:
        raise ScenarioError(
            f"clock is {machine.clock_hz} Hz", where=machine.name, accepted="give up to 9 GHz"
        )
    _bounded(machine.weight_buffer_bytes * machine.bandwidth_denominator, "weight buffer", machine.name)
    if not given.tenants:
        raise ScenarioError("there are no tenants", where="tenants", accepted="give at least one")
    if len(given.tenants) > MAX_TENANTS:
        raise ScenarioError(
            f"{len(given.tenants)} tenants", where="tenants", accepted=f"give up to {MAX_TENANTS}"
        )
    names = [tenant.name for tenant in given.tenants]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ScenarioError(f"the name {twice!r} is used twice", where="tenants", accepted="names are unique")
    for name, value, most in (
        ("dispatch_ahead", given.dispatch_ahead, 10_000),
        ("decision_cycles", given.decision_cycles, 10**9),
        ("warmup_ns", given.warmup_ns, MAX_TIME_NS),
        ("cooldown_ns", given.cooldown_ns or 0, MAX_TIME_NS),
    ):
        if not 0 <= value <= most:
            raise ScenarioError(f"{name} is {value}", where="engine", accepted=f"give 0 to {most}")
    for tenant in given.tenants:
        _check_tenant(tenant, given)
    sizes = [tenant.batching.sizes for tenant in given.tenants]
    if sum(map(len, sizes)) * (max(size[-1] for size in sizes) + 1) > MAX_BATCH_COUNTS:
        raise ScenarioError(
            f"{sum(map(len, sizes))} batch sizes of up to {max(size[-1] for size in sizes)}",
            where="tenants",
            accepted="give fewer or smaller batch sizes",
        )
    work_ns = sum(_loop_work_ns(tenant, given, checkpoints) for tenant in given.tenants)
    if work_ns > MAX_WORK_NS:
        raise ScenarioError(
            f"the loops' requests keep the NPU busy for {work_ns / 1e9:.3g} s",
            where="tenants",
            accepted=f"at most {MAX_WORK_NS / 1e9:g} s are simulated: ask for fewer queries",
        )


def request_ns(
    profiles: Sequence[ModelProfile], sizes: Sequence[int], decision_cycles: int, *, checkpoints: bool
) -> int:
    """Longest time, in ns, for which one request keeps the NPU busy, whatever the policy does.

    A batch runs its rows one by one, each after a decision and the saving of another tenant's activations;
    it is of more requests than the next smaller size holds.

    Args:
        profiles: The model at every batch size.
        sizes: These batch sizes, ascending.
        decision_cycles: Cycles that a decision takes.
        checkpoints: Whether leaving a request costs saving its activations.
    """
    worst, smaller, machine = 0, 0, profiles[0].table.machine
    for profile, size in zip(profiles, sizes, strict=True):
        table = profile.table
        cycles = int(table.compute_cycles.sum()) + int(table.memory_cycles.sum())
        cycles += table.rows * decision_cycles
        if checkpoints:
            cycles += int(machine.fetch_cycles(table.live_bytes).sum())
        worst = max(worst, -(-cycles // (smaller + 1)))
        smaller = size
    return cycles_to_ns_up(worst, machine.clock_hz)


def _loop_work_ns(tenant: TenantLoad, given: SimulationInput, checkpoints: bool) -> int:
    """Time that a loop's requests keep the NPU busy beyond its duration, which is all that they add to it."""
    source, where = tenant.source, f"tenant {tenant.name}"
    if not isinstance(source, (ClosedLoop, Saturated)):
        return 0
    each_ns = request_ns(
        tenant.profiles, tenant.batching.sizes, given.decision_cycles, checkpoints=checkpoints
    )
    clients = source.concurrency if isinstance(source, ClosedLoop) else tenant.batching.sizes[-1]
    least = source.min_queries
    if source.max_queries is not None:
        least = min(least, source.max_queries)
    think_ns = max(each_ns, source.think_ns if isinstance(source, ClosedLoop) else 0)
    last_ns = source.duration_ns + (-(-least // clients) + 2) * think_ns
    if last_ns > MAX_ARRIVAL_NS:
        raise ScenarioError(
            f"{counted(least, 'query', 'queries')} with {figure(think_ns / 1e9)} s between them "
            f"last {last_ns / 1e9:.3g} s",
            where=where,
            accepted=f"at most {MAX_ARRIVAL_NS / 1e9:g} s are simulated",
        )
    return (least + clients) * each_ns


def _check_tenant(tenant: TenantLoad, given: SimulationInput) -> None:
    where = f"tenant {tenant.name}"
    _check_batching(tenant.batching, len(tenant.profiles), where)
    machine, source = given.machine, tenant.source
    times = {
        "deadline_ns": (tenant.deadline_ns, 1),
        "queue_limit": (tenant.queue_limit, 1),
        "timeout_ns": (tenant.timeout_ns, 1),
        "priority": (tenant.priority, 1),
        "delay_ns": (tenant.batching.delay_ns, 0),
    }
    if tenant.decoder is not None:
        tenant.decoder.check(where)
    if source is not None and not isinstance(source, OpenLoop):
        times |= {
            "duration_ns": (source.duration_ns, 0),
            "min_queries": (source.min_queries, 0),
            "max_queries": (source.max_queries, 1),
        }
        if all(profile.standalone_cycles == 0 for profile in tenant.profiles):
            raise ScenarioError("the model costs nothing", where=where, accepted="such a loop never ends")
    if isinstance(source, ClosedLoop):
        times |= {"concurrency": (source.concurrency, 1), "think_ns": (source.think_ns, 0)}
    for name, (value, least) in times.items():
        most = 1_000_000 if name == "concurrency" else MAX_TIME_NS
        if value is not None and not least <= value <= most:
            raise ScenarioError(f"{name} is {value}", where=where, accepted=f"give {least} to {most}")
    for profile in tenant.profiles:
        table = profile.table
        own = (table.machine.bandwidth_numerator, table.machine.bandwidth_denominator, table.machine.clock_hz)
        if own != (machine.bandwidth_numerator, machine.bandwidth_denominator, machine.clock_hz):
            raise ScenarioError(f"costs are for another machine ({table.machine.name})", where=where)
        if int(table.weight_bytes.max()) > machine.weight_buffer_bytes:
            raise ScenarioError("a row's weights exceed the weight buffer", where=where)
        _bounded(int(table.dram_bytes.max()) * machine.bandwidth_denominator, "traffic of a row", where)
        _bounded(int(table.compute_cycles.max()) * machine.bandwidth_numerator, "compute of a row", where)
        _bounded(int(table.live_bytes.max()) * machine.bandwidth_denominator, "activations", where)
        if not fits_rows(profile.offline, table, exact=False):
            raise ScenarioError("the offline tables are not those of the rows", where=where)
    alone_ns = max(
        request_ns((profile,), (1,), given.decision_cycles, checkpoints=True) for profile in tenant.profiles
    )
    if alone_ns > MAX_TIME_NS:
        raise ScenarioError(
            f"a request takes {alone_ns / 1e9:.3g} s",
            where=where,
            accepted=f"at most {MAX_TIME_NS / 1e9:g} s are simulated: give smaller costs or a faster clock",
        )


def _check_batching(rule: BatchRule, profiles: int, where: str) -> None:
    sizes = rule.sizes
    if not sizes or list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] > 100_000:
        raise ScenarioError(f"batch sizes are {sizes}", where=where, accepted="ascending, 1 to 100,000")
    if len(sizes) != profiles:
        raise ScenarioError(f"{profiles} profiles for batch sizes {sizes}", where=where, accepted="one each")
    if rule.auto and (rule.delay_ns or rule.preferred):
        raise ScenarioError(
            "batches that the scheduler chooses have no delay and no preferred sizes", where=where
        )
    if any(not 1 <= size <= sizes[-1] for size in rule.preferred):
        raise ScenarioError(
            f"preferred batch sizes are {rule.preferred}", where=where, accepted=f"give 1 to {sizes[-1]}"
        )


def _bounded(value: int, what: str, where: str) -> None:
    if value > COUNT_LIMIT // 4:
        raise ScenarioError(
            f"{what} is too large for exact 64-bit arithmetic",
            where=where,
            accepted="use smaller numbers or a bandwidth with a smaller denominator",
        )


@dataclass(frozen=True, slots=True)
class BatchRule:
    """Dynamic batching of one tenant.

    Attributes:
        sizes: Batch sizes that have a profile, ascending; the first is the least that can run (a smaller
            batch runs at the cost of the next larger size). The last is the maximum.
        delay_ns: Longest time the oldest request waits for company; 0 takes what is there.
        preferred: Sizes at which a batch is dispatched at once; others wait for the delay.
        auto: Whether the scheduler chooses when a batch starts and with how many
            (:mod:`layerweaver.backend_sim.engine.auto_batch`), without delay and preferred sizes.
    """

    sizes: tuple[int, ...] = (1,)
    delay_ns: int = 0
    preferred: tuple[int, ...] = ()
    auto: bool = False


@dataclass(frozen=True, slots=True)
class TenantLoad:
    """One tenant.

    Attributes:
        name: Unique name.
        profiles: One per size of ``batching.sizes``, in that order.
        source: Where its requests come from; None for a language model, which has all of them.
        batching: How requests are put together.
        deadline_ns: From scheduled time to completion; None for no deadline.
        priority: 1, 3 or 9.
        queue_limit: Requests waiting at most (the head batch included); None for no limit.
        drop_hopeless: Whether a request that cannot meet its deadline even alone is dropped at the head.
        decoder: The language model that it is, if it is one; its head is then an iteration, and
            ``profiles`` has one that stands for a mean request.
        timeout_ns: Longest time that a request waits until a batch with it begins, else it is dropped; None
            for no limit.
    """

    name: str
    profiles: tuple[ModelProfile, ...]
    source: OpenLoop | ClosedLoop | Saturated | None
    batching: BatchRule = field(default_factory=BatchRule)
    deadline_ns: int | None = None
    priority: int = 1
    queue_limit: int | None = None
    drop_hopeless: bool = False
    decoder: DecoderLoad | None = None
    timeout_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SimulationInput:
    """One NPU and the tenants that share it.

    Attributes:
        machine: The machine that all cost tables refer to.
        tenants: In order of index; ties of a policy go to the lowest.
        dispatch_ahead: Rows committed before the DMA needs them: a decision is taken when the fetch so many
            rows back ends.
        decision_cycles: Cycles from a decision to the start of the fetch it decided.
        warmup_ns: Requests scheduled, and time that passes, before it are left out of the totals.
        cooldown_ns: Those from then on are left out likewise; None for none.
        groups: Indices of tenants whose static woven schedule a policy may replay; empty for all together.
    """

    machine: MachineSpec
    tenants: tuple[TenantLoad, ...]
    dispatch_ahead: int = 0
    decision_cycles: int = 0
    warmup_ns: int = 0
    cooldown_ns: int | None = None
    groups: tuple[tuple[int, ...], ...] = ()
