"""Layerweaver and Layerweaver+ from decision tables: the same choices as the direct rules, looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from layerweaver.scheduler.machine.jit import inlined
from layerweaver.scheduler.machine.timelines import Head, View, fetch_end_of
from layerweaver.scheduler.policies.contract import Memory, PolicySpec
from layerweaver.scheduler.rules.deadline_guard import DEADLINE, GUARDED_MODES, guard
from layerweaver.scheduler.rules.least_idle import (
    BY_DISTANCE,
    STARVED_COMPUTE,
    STARVED_MEMORY,
    THROUGHPUT,
    WEAVING_MODES,
    weave,
)
from layerweaver.scheduler.static.tables import Tables, prepare_tables

__all__ = ["PLUS_POLICY", "POLICY", "TABLED_MODES", "choose", "choose_plus", "table_choice"]

TABLED_MODES = (*GUARDED_MODES, *(f"table: {mode}" for mode in WEAVING_MODES))
"""Reasons; those with ``table:`` were looked up, the others decided by the direct rule."""
TABLED = DEADLINE + 1

NOT_COVERED = -1
EVERY_KIND = -1


@dataclass(frozen=True, slots=True)
class Options:
    """Switches of layerweaver+ that sees heads only; see there.

    Attributes:
        margin_us: Slack that every head should keep.
        evaluate: Whether the guard looks at the slack at the ``completion`` of the row, or ``now``.
        hopeless: ``leave`` requests that cannot be in time, put them ``last`` among equals or ``drop`` them.
    """

    margin_us: float = 0.0
    evaluate: Literal["completion", "now"] = "completion"
    hopeless: Literal["leave", "last", "drop"] = "leave"


class Lookup(NamedTuple):
    """Where to look a decision up, and what the starvation rules leave.

    Attributes:
        at: The state: ``x`` with slack space, ``buffer - room`` with scarce space.
        blocks: First pair of every block: for slack or for scarce space.
        level: Which longest fetch is in flight (0 with scarce space).
        levels: How many blocks a pair of classes has.
        scarce: Whether space is scarce, so that equal rows are told apart by their distances.
        mode: Throughput or one of the starvation rules.
    """

    at: int
    blocks: NDArray[np.int64]
    level: int
    levels: int
    scarce: bool
    mode: int


@inlined
def table_choice(view: View, tables: Tables) -> int:
    """Layerweaver's choice by look-ups, with its mode; -1 where the tables do not cover the state."""
    machine, heads, ready = view.machine, view.heads, view.ready
    if machine.one_kind != 0 or machine.ready_count == 1:
        return NOT_COVERED
    x = max(0, machine.compute_end - machine.start)
    slack_space, scarce_space = True, True
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        ahead = machine.compute_end - fetch_end_of(view, head)
        fits = machine.room_scaled - head.weight_scaled
        if head.weight_scaled > machine.free_scaled or (ahead > 0 and ahead * machine.rate > fits):
            slack_space = False
        idles = x < head.fetch_cycles or ahead + head.compute_cycles < machine.longest_fetch_cycles
        if idles or ahead <= 0 or ahead * machine.rate < fits:
            scarce_space = False
    if slack_space:
        return _best(view, tables, _slack(view, tables, x))
    if scarce_space:
        return _best(view, tables, _scarce(view, tables, machine.buffer_scaled - machine.room_scaled))
    return NOT_COVERED


@inlined
def _slack(view: View, tables: Tables, x: int) -> Lookup:
    machine, heads, ready = view.machine, view.heads, view.ready
    starved_compute, starved_memory = True, True
    for k in range(machine.ready_count):
        if x >= heads[ready[k]].fetch_cycles:
            starved_compute = False
        if x <= tables.theta[_row(tables, heads[ready[k]])]:
            starved_memory = False
    mode = STARVED_COMPUTE if starved_compute else STARVED_MEMORY if starved_memory else THROUGHPUT
    level = 0
    while level + 1 < len(tables.levels) and tables.levels[level] < machine.longest_fetch_cycles:
        level += 1
    return Lookup(x, tables.slack, level, len(tables.levels), False, mode)


@inlined
def _scarce(view: View, tables: Tables, taken: int) -> Lookup:
    machine, heads, ready = view.machine, view.heads, view.ready
    mode = STARVED_MEMORY
    for k in range(machine.ready_count):
        if taken >= tables.phi[_row(tables, heads[ready[k]])]:
            mode = THROUGHPUT
    return Lookup(taken, tables.scarce, 0, 1, True, mode)


@inlined
def _row(tables: Tables, head: Head) -> int:
    """The head's next row among the rows of all classes."""
    return int(tables.first_row[tables.class_of[head.profile]]) + head.row


@inlined
def _best(view: View, tables: Tables, lookup: Lookup) -> int:
    """The best of the candidates that the starvation rules leave, pair by pair."""
    machine, heads, ready = view.machine, view.heads, view.ready
    wanted = 1 if lookup.mode == STARVED_COMPUTE else 0 if lookup.mode == STARVED_MEMORY else EVERY_KIND
    best = -1
    for attempt in range(2):
        for k in range(machine.ready_count):
            tenant = ready[k]
            if attempt == 0 and wanted >= 0 and heads[tenant].compute_intensive != wanted:
                continue
            if best < 0 or _beats(view, tables, lookup, tenant, best):
                best = tenant
        if best >= 0:
            break
    machine.mode = TABLED + lookup.mode
    return best


@inlined
def _beats(view: View, tables: Tables, lookup: Lookup, tenant: int, best: int) -> bool:
    """Whether a later tenant's row goes before the best so far; equal ones do not."""
    heads = view.heads
    p, q = tables.class_of[heads[tenant].profile], tables.class_of[heads[best].profile]
    row, other, sign = heads[tenant].row, heads[best].row, 1
    if p > q:
        p, q, row, other, sign = q, p, other, row, -1
    block = lookup.blocks[(p * len(tables.row_count) + q) * lookup.levels + lookup.level]
    pair = block + row * tables.row_count[q] + other
    entry, end = tables.pairs[pair], tables.pairs[pair + 1]
    while entry + 1 < end and tables.entries[entry + 1] >> 2 <= lookup.at:
        entry += 1
    won = ((tables.entries[entry] & 3) - 1) * sign
    if won == 0 and lookup.scarce:
        return _distance(view, heads[tenant]) > _distance(view, heads[best])
    return bool(won > 0)


def _distance(view: View, head: Head) -> int:
    """Decoupling distance ``tc' - tm'``, less ``tc``, of a head whose fetch ends before ``tc``."""
    return head.compute_cycles - fetch_end_of(view, head)


def choose(view: View, options: Any, memory: Memory) -> int:  # noqa: ARG001
    """Layerweaver's choice, from the tables where they cover the state."""
    chosen = table_choice(view, memory.tables)
    return chosen if chosen >= 0 else weave(view, BY_DISTANCE, False)


def choose_plus(view: View, options: Any, memory: Memory) -> int:
    """Layerweaver+'s choice; its deadline guard is arithmetic on the offline remaining times."""
    chosen = -1
    if options.hopeless != 1:
        chosen = table_choice(view, memory.tables)
    if chosen < 0:
        chosen = weave(view, BY_DISTANCE, options.hopeless == 1)
    return guard(view, chosen, options.margin_cycles, options.evaluate == 0, False)


POLICY = PolicySpec(
    "layerweaver-tables",
    choose,
    "layerweaver, looked up in decision tables where they cover the state",
    source="layerweaver, with offline tables of our own",
    modes=TABLED_MODES,
    commit="early",
    prepare=prepare_tables,
)

PLUS_POLICY = PolicySpec(
    "layerweaver+tables",
    choose_plus,
    "layerweaver+ that sees heads only, its throughput choice looked up in decision tables",
    source="layerweaver+, with offline tables of our own",
    options=Options,
    modes=TABLED_MODES,
    drops_hopeless=lambda options: options.hopeless == "drop",
    prepare=prepare_tables,
)
