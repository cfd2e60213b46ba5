"""Which batch sizes are worth having where the scheduler chooses batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layerweaver.backend_sim.run.variants import largest_table
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.traffic.loops import MultiStreamSpec
from layerweaver.costmodel.table import CostTable, share_activation_buffer
from layerweaver.ir.clock import ns_to_cycles_down
from layerweaver.scheduler.offline import ModelProfile

__all__ = ["left_out_notes", "useful_sizes"]

Menu = tuple[ModelProfile, ...]


def useful_sizes(scenario: Scenario, menus: Sequence[Menu]) -> list[Menu]:
    """Leave out of automatic tenants' menus what could only do harm; the other menus stay as they are.

    That are batches that take longer than the deadline even alone, and the largest ones of whose activations
    the buffer would not hold besides those of all other tenants: they would spill for every size. Where it
    does not hold those of single requests either, all spill anyhow, and the sizes that stay are those up to
    the one with which requests take the least work, every tenant's in proportion to what a single one takes.
    """
    chosen = _in_time(scenario, menus)
    automatic = [index for index in _automatic(scenario, menus) if len(chosen[index]) > 1]
    fitting = list(chosen)
    while not _fits(fitting):
        over = [index for index in automatic if len(fitting[index]) > 1]
        if not over:
            return _least_work(chosen, automatic)
        widest = max(over, key=lambda index: (largest_table(fitting[index]).peak_activation_bytes, -index))
        fitting[widest] = fitting[widest][:-1]
    return fitting


def left_out_notes(
    scenario: Scenario, menus: Sequence[Menu], useful: Sequence[Menu], npu: str
) -> Iterator[str]:
    """Which sizes automatic tenants go without, and why; of those above a deadline the ones that were stated.

    Args:
        scenario: The scenario.
        menus: Every size of every tenant.
        useful: What :func:`useful_sizes` leaves of them.
        npu: The NPU that they are for.
    """
    in_time, on = _in_time(scenario, menus), f" on {npu}" if scenario.spec.pool else ""
    beside = " beside those of the others" if len(menus) > 1 else ""
    why = (
        f"their activations would not fit the buffer{beside}"
        if _fits(useful)
        else "with what all sizes spill, requests take less work without"
    )
    for index in _automatic(scenario, menus):
        tenant = scenario.spec.tenants[index]
        if tenant.states_sizes and (late := _missing(menus[index], in_time[index])):
            yield f"tenant {tenant.name!r}: {late} left out{on}: alone they exceed its deadline"
        if spilling := _missing(in_time[index], useful[index]):
            yield f"tenant {tenant.name!r}: {spilling} left out{on}: {why}"


def _missing(menu: Menu, kept: Menu) -> str:
    """The sizes that are not kept, in words; nothing where all are."""
    left = {profile.table.batch for profile in kept}
    sizes = [str(batch) for profile in menu if (batch := profile.table.batch) not in left]
    return f"batches of {', '.join(sizes)} are" if sizes else ""


def _automatic(scenario: Scenario, menus: Sequence[Menu]) -> list[int]:
    return [
        index
        for index, tenant in enumerate(scenario.spec.tenants)
        if tenant.auto_batch and not isinstance(tenant.arrival, MultiStreamSpec) and len(menus[index]) > 1
    ]


def _in_time(scenario: Scenario, menus: Sequence[Menu]) -> list[Menu]:
    """The menus without batches of automatic tenants that are late even alone; single requests stay."""
    chosen = list(menus)
    for index in _automatic(scenario, menus):
        if (deadline_ns := scenario.deadline_ns(index)) is not None:
            first, *more = menus[index]
            limit = ns_to_cycles_down(deadline_ns, first.table.machine.clock_hz)
            chosen[index] = (first, *(profile for profile in more if profile.standalone_cycles <= limit))
    return chosen


def _fits(menus: Sequence[Menu]) -> bool:
    budgets = [menu[0].table.machine.activation_buffer_bytes for menu in menus if menu]
    known = [budget for budget in budgets if budget is not None]
    return not known or sum(largest_table(menu).peak_activation_bytes for menu in menus if menu) <= min(known)


def _least_work(menus: Sequence[Menu], automatic: Sequence[int]) -> list[Menu]:
    """The menus up to the size with which requests take the least work; of equals the smallest."""
    found, least, single = list(menus), float("inf"), list[float]()
    for most in sorted({profile.table.batch for index in automatic for profile in menus[index]}):
        upto = [
            (menu[0], *(profile for profile in menu[1:] if profile.table.batch <= most))
            if index in automatic
            else menu
            for index, menu in enumerate(menus)
        ]
        held = [menu for menu in upto if menu]
        shared = share_activation_buffer([largest_table(menu) for menu in held])
        work = [
            min(_work(profile.table, table.activation_budget_bytes) for profile in menu)
            for menu, table in zip(held, shared, strict=True)
        ]
        single = single or work
        if (total := sum(now / max(1.0, then) for now, then in zip(work, single, strict=True))) < least:
            found, least = upto, total
    return found


def _work(table: CostTable, budget_bytes: int | None) -> float:
    """Cycles that a request of a full batch takes of the engine that is busier."""
    costed = table if budget_bytes is None else table.with_activation_budget(budget_bytes)
    return max(int(costed.compute_cycles.sum()), int(costed.memory_cycles.sum())) / table.batch
