"""Static woven schedules: what the rule does to tenants that always have work, until it repeats (*ours*).

For a declared group of tenants with a request always waiting, every decision depends only on the rows that
come next and on the machine relative to the end of its last fetch. Running the direct rule until such a state
comes back gives an order that can be replayed for ever without taking a decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from layerweaver.ir import ProfileError
from layerweaver.scheduler.machine.records import as_objects, records
from layerweaver.scheduler.machine.rest import machine_at_rest, row_records
from layerweaver.scheduler.machine.timelines import append_fetch, fetch_end_of, rebase, release
from layerweaver.scheduler.machine.view import FETCH, NEVER, View
from layerweaver.scheduler.offline import ModelKind, ModelProfile, StaticWeave
from layerweaver.scheduler.rules.least_idle import BY_DISTANCE, weave

__all__ = ["MAX_WEAVE_ROWS", "SaturatedLoop", "find_weave"]

MAX_WEAVE_ROWS = 1_000_000
"""Rows after which the search for a period gives up."""

_MOST_COMPARED = 1_000_000
"""Fetched rows in all states that are compared before the search for a period is given up."""

_TENANTS_PER_ROW = 16
"""Tenants of a state that are as much work to compare as one fetched row."""

_RING = 1 << 12
_REBASE_CYCLES = 1 << 32


def _waiting_rows(model: ModelProfile) -> list[SimpleNamespace]:
    """One record per row, with those fields of ``Head`` that weaving reads."""
    rows: list[SimpleNamespace] = as_objects(row_records(model))
    for row in rows:
        row.compute_intensive = int(model.offline.kind == ModelKind.COMPUTE_INTENSIVE)
        row.longest_fetch_cycles = model.offline.longest_fetch_cycles
        row.deadline, row.arrival = NEVER, 0
    return rows


class SaturatedLoop:
    """Tenants that always have a request, under Layerweaver's rule, one row per step.

    Args:
        models: One profile per tenant, all of one machine.
    """

    def __init__(self, models: Sequence[ModelProfile]) -> None:
        spec = models[0].table.machine
        self.rows = [0] * len(models)
        self._records = [_waiting_rows(model) for model in models]
        self._machine = machine_at_rest(spec, tenants=len(models), models=models, slots=_RING, compiled=False)
        self._machine.longest_fetch_cycles = max(model.offline.longest_fetch_cycles for model in models)
        self._machine.ready_count = self._machine.queued = len(models)
        fetches = records(FETCH, _RING, compiled=False)
        heads: Any = [_waiting(records[0], 0) for records in self._records]
        self.view = View(self._machine, heads, tuple(range(len(models))), fetches)
        release(self.view)

    @property
    def now_cycles(self) -> int:
        """End of the last fetch, when the next decision is taken."""
        return int(self._machine.start)

    @property
    def in_flight(self) -> int:
        """Fetched rows whose compute is not done: what a state is made of."""
        return int(self._machine.last - self._machine.first)

    def state(self) -> bytes:
        """All that the future depends on: rows, and the machine relative to the end of the last fetch.

        Of 128 bits, so that many states take little memory; two different ones agree in none of 10^20 runs.
        """
        machine, fetches = self._machine, self.view.fetches
        live = [fetches[position & machine.mask] for position in range(machine.first, machine.last)]
        waiting = sorted(range(len(self.rows)), key=lambda tenant: (self.view.heads[tenant].arrival, tenant))
        words = [
            *self.rows,
            machine.running,
            machine.compute_end - machine.start,
            *(entry.before_scaled - machine.appended_scaled for entry in live),
            *(entry.done - machine.start for entry in live),
            *(waiting if machine.one_kind else ()),
        ]
        return hashlib.blake2b(repr(words).encode(), digest_size=16).digest()

    def step(self) -> int:
        """Take one decision, append the row and return the tenant.

        Raises:
            ProfileError: If more fetched rows wait for their compute than the simulator's list may hold.
        """
        machine = self._machine
        machine.mode = 0
        tenant = weave(self.view, BY_DISTANCE, False)
        head = self.view.heads[tenant]
        fetch_end = fetch_end_of(self.view, head)
        done = max(machine.compute_end, fetch_end) + head.compute_cycles
        if machine.last - machine.first > machine.mask:
            raise ProfileError(f"more than {_RING} fetched rows wait for their compute")
        append_fetch(self.view, head.weight_scaled, done)
        decided = machine.start
        machine.fetch_end = machine.start = machine.now = fetch_end
        machine.compute_end = done
        self.rows[tenant] += 1
        machine.running = tenant
        arrival = head.arrival
        if self.rows[tenant] == len(self._records[tenant]):
            self.rows[tenant] = 0
            machine.running = -1
            arrival = decided
        cast("Any", self.view.heads)[tenant] = _waiting(self._records[tenant][self.rows[tenant]], arrival)
        release(self.view)
        if fetch_end - machine.origin > _REBASE_CYCLES:
            rebase(self.view, fetch_end)
        return tenant


def _waiting(record: SimpleNamespace, arrival: int) -> SimpleNamespace:
    """A copy of a row's record for a request that arrived at ``arrival``."""
    copy = SimpleNamespace(**vars(record), latest_start=0)
    copy.arrival = arrival
    return copy


def find_weave(
    models: Sequence[ModelProfile], *, max_rows: int = MAX_WEAVE_ROWS
) -> tuple[StaticWeave, tuple[int, ...]]:
    """Run the direct rule on saturated tenants until a state comes back.

    Args:
        models: One profile per tenant, all of one machine.
        max_rows: Rows after which to give up.

    A schedule that the models' profile stores for just these members is taken from it.

    Returns:
        The periodic schedule, and the members that never run in its period (they starve under the rule).

    Raises:
        ProfileError: If there are no models, they are for different machines or cost nothing, or no state
            comes back within ``max_rows`` or within what looking for it may take.
    """
    if not models:
        raise ProfileError("a woven group has no members", accepted="name one or more entries")
    if len({model.table.machine for model in models}) != 1:
        raise ProfileError("the members of a woven group are compiled for different NPUs")
    members = tuple((model.entry, model.table.batch) for model in models)
    for stored in models[0].weaves:
        known = all(any(stored is weave for weave in model.weaves) for model in models)
        if known and stored.members == members and len(stored.prefix) + len(stored.period) <= max_rows:
            return stored, tuple(np.flatnonzero(stored.requests_per_period == 0).tolist())
    loop = SaturatedLoop(models)
    seen: dict[bytes, tuple[int, int]] = {}
    order: list[int] = []
    compared = 0
    while len(order) <= max_rows and compared <= _MOST_COMPARED:
        if len(order) == 0 or loop.rows[order[-1]] == 0:
            state = loop.state()
            compared += loop.in_flight + len(models) // _TENANTS_PER_ROW
            if state in seen:
                return _woven(models, order, seen[state], loop)
            seen[state] = (len(order), loop.now_cycles)
        order.append(loop.step())
    names = ", ".join(model.entry for model in models)
    raise ProfileError(
        f"the woven schedule of {names} does not repeat within {min(max_rows, len(order))} rows",
        accepted="leave this group to the online rule",
    )


def _woven(
    models: Sequence[ModelProfile],
    order: list[int],
    start: tuple[int, int],
    loop: SaturatedLoop,
) -> tuple[StaticWeave, tuple[int, ...]]:
    first, since_cycles = start
    if loop.now_cycles == since_cycles:
        raise ProfileError("a woven group that costs nothing", accepted="name entries that take time")
    # Every tenant is at the same row as then, so it has run whole requests.
    executed = np.bincount(np.array(order[first:], dtype=np.int64), minlength=len(models))
    requests = executed // np.array([model.table.rows for model in models], dtype=np.int64)
    weave = StaticWeave(
        members=tuple((model.entry, model.table.batch) for model in models),
        prefix=np.array(order[:first], dtype=np.int64),
        period=np.array(order[first:], dtype=np.int64),
        period_cycles=loop.now_cycles - since_cycles,
        requests_per_period=requests,
        policy="layerweaver",
    )
    return weave, tuple(np.flatnonzero(requests == 0).tolist())
