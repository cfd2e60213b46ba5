"""Layerweaver's rule: the row that leaves the least idle time behind (LW III-B to III-D).

All terms are exact: times in cycles, idle in scaled bytes (``cycles * rate``).
"""

from __future__ import annotations

from layerweaver.scheduler.machine.jit import inlined
from layerweaver.scheduler.machine.timelines import fetch_end_of
from layerweaver.scheduler.machine.view import Head, View

__all__ = [
    "BY_DISTANCE",
    "BY_SLACK",
    "FAILSAFE",
    "SINGLE",
    "WEAVING_MODES",
    "earliest_arrival",
    "earliest_deadline",
    "idle_after",
    "weave",
]


def earliest_arrival(view: View) -> int:
    """The head that arrived first (ties: lowest tenant index); a request once begun is finished."""
    machine, heads, ready = view.machine, view.heads, view.ready
    if machine.running >= 0:
        return machine.running
    best = ready[0]
    for k in range(1, machine.ready_count):
        if heads[ready[k]].arrival < heads[best].arrival:
            best = ready[k]
    return best


def earliest_deadline(view: View) -> int:
    """The head due first that can still be in time, else of all (ties: first arrival, lowest tenant index).

    Of two on one engine, the one with less slack in the end then has the most it can have. By the slack
    before either goes, equals would overtake each other row by row, and all end late.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    now = max(machine.compute_end, machine.start)
    best, least = -1, (0, 0, 0)
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        key = (1 if head.latest_start < now else 0, head.deadline, head.arrival)
        if best < 0 or key < least:
            best, least = ready[k], key
    return best


WEAVING_MODES = ("throughput", "single", "starved compute", "starved memory", "failsafe")
"""Why a row was chosen: least idle, the only candidate, a starvation rule, or weaving being off."""


THROUGHPUT, SINGLE, STARVED_COMPUTE, STARVED_MEMORY, FAILSAFE = range(5)


BY_DISTANCE, BY_SLACK = 0, 1
"""How ties of total idle are broken: largest decoupling distance or least slack."""


@inlined
def _of_one_kind(view: View) -> bool:
    """Whether nothing is there to weave: all tenants are of one kind, or all heads where sizes decide that.

    The latter not while anybody cannot be in time: by deadline, one who is late makes the next one late.
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    if machine.kinds_by_size == 0:
        return machine.one_kind != 0
    for k in range(machine.ready_count + machine.hidden_count):
        head = heads[ready[k]]
        late = head.hopeless != 0 or head.passed > 0
        if late or head.compute_intensive != heads[ready[0]].compute_intensive:
            return False
    return machine.ready_count + machine.hidden_count > 1


@inlined
def idle_after(view: View, head: Head) -> tuple[int, int, int]:
    """Append a head's next row tentatively and measure the idle time it causes.

    Returns:
        Compute idle (cycles), ``max(0, fetch without stall - max(0, tc - s))``; memory idle caused by the
        decision (scaled bytes), see below; distance ``tc' - tm'`` of the ends of compute and fetch (cycles).

        With F the bytes that could still be fetched in ``(tm', tc)`` beside the new list, the DMA idles for
        ``max(0, compute - max(0, buffer - W - F) / b)`` after the row, of which the part at F = 0 is inherent
        to the row and not counted (LW III-C; the clipping at zero is our reading).
    """
    machine = view.machine
    compute_end = machine.compute_end
    fetch_end = fetch_end_of(view, head)
    compute_idle = max(0, head.fetch_cycles - max(0, compute_end - machine.start))
    ahead = max(0, compute_end - fetch_end)
    distance, beside = ahead + head.compute_cycles, machine.buffer_scaled - head.weight_scaled
    if distance * machine.rate <= beside:
        # The row computes before the buffer can be full, whatever there is room for until then.
        return compute_idle, 0, distance
    if ahead > 0:
        beside -= min(ahead * machine.rate, machine.room_scaled - head.weight_scaled)
    memory_idle = max(0, head.compute_scaled - max(0, beside)) - head.inherent_scaled
    return compute_idle, memory_idle, distance


@inlined
def weave(
    view: View,
    tie_break: int,
    hopeless_last: bool,
) -> int:
    """Layerweaver's choice; sets ``machine.mode`` to an index into :data:`WEAVING_MODES`.

    The least total idle (compute + memory + potential compute idle) wins. Ties: first a row without inherent
    memory idle, then, if ``hopeless_last``, a head that can still meet its deadline, then the largest
    decoupling distance ``tc' - tm'`` or the least slack, then the lowest tenant index. If every candidate
    has compute idle, only compute-intensive models count; if every candidate has memory idle, only
    memory-intensive ones (starvation rules, in this order; without any of that kind all count). If all
    declared tenants are of one kind, weaving is off and order of arrival decides (failsafe). If ties go by
    slack, it is the order of deadlines, also while all heads are of one kind, and none is late, where that is
    a matter of the sizes of their batches (*ours*).
    """
    machine, heads, ready = view.machine, view.heads, view.ready
    if _of_one_kind(view) if tie_break == BY_SLACK else machine.one_kind != 0:
        machine.mode = FAILSAFE
        return earliest_deadline(view) if tie_break == BY_SLACK else earliest_arrival(view)
    if machine.ready_count == 1:
        machine.mode = SINGLE
        return ready[0]
    now = max(machine.compute_end, machine.start)
    rate, longest = machine.rate, machine.longest_fetch_cycles
    wanted, mode = -1, THROUGHPUT
    chosen = ready[0]
    while True:
        best, least = -1, (0, 0, 0, 0)
        starved_compute, starved_memory = True, True
        for k in range(machine.ready_count):
            tenant = ready[k]
            head = heads[tenant]
            if wanted >= 0 and head.compute_intensive != wanted:
                continue
            compute_idle, memory_idle, distance = idle_after(view, head)
            starved_compute = starved_compute and compute_idle > 0
            starved_memory = starved_memory and memory_idle > 0
            total = memory_idle + (compute_idle + max(0, longest - distance)) * rate
            if best >= 0 and total > least[0]:
                continue
            slack = head.latest_start - now
            hopeless = 1 if hopeless_last and slack < 0 else 0
            rank = -distance if tie_break == BY_DISTANCE else slack
            key = (total, 1 if head.inherent_scaled > 0 else 0, hopeless, rank)
            if best < 0 or key < least:
                best, least = tenant, key
        if wanted >= 0:
            if best >= 0:
                chosen = best
            break
        chosen = best
        if starved_compute:
            wanted, mode = 1, STARVED_COMPUTE
        elif starved_memory:
            wanted, mode = 0, STARVED_MEMORY
        else:
            break
    machine.mode = mode
    return chosen
