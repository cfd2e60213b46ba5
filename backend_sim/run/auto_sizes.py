"""Which batch sizes are worth having where the scheduler chooses batches."""

from __future__ import annotations

from layerweaver.backend_sim.run.variants import largest_table
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.traffic.loops import MultiStreamSpec
from layerweaver.ir.clock import ns_to_cycles_down
from layerweaver.scheduler.offline import ModelProfile

__all__ = ["useful_sizes"]

Menu = tuple[ModelProfile, ...]


def useful_sizes(scenario: Scenario, menus: list[Menu]) -> list[Menu]:
    """Leave out of automatic tenants' menus what could only do harm; the other menus stay as they are.

    That are batches that take longer than the deadline even alone, and the largest ones of whose activations
    the buffer would not hold besides those of all other tenants: they would spill for every size.
    """
    spec = scenario.spec
    chosen = list(menus)
    automatic = [
        index
        for index, tenant in enumerate(spec.tenants)
        if tenant.auto_batch and not isinstance(tenant.arrival, MultiStreamSpec) and len(menus[index]) > 1
    ]
    for index in automatic:
        chosen[index] = _in_time(menus[index], scenario.deadline_ns(index))
    while True:
        over = [index for index in automatic if len(chosen[index]) > 1]
        if not over or _fits(chosen):
            return chosen
        widest = max(over, key=lambda index: (largest_table(chosen[index]).peak_activation_bytes, -index))
        chosen[widest] = chosen[widest][:-1]


def _in_time(menu: Menu, deadline_ns: int | None) -> Menu:
    if deadline_ns is None:
        return menu
    limit = ns_to_cycles_down(deadline_ns, menu[0].table.machine.clock_hz)
    return (menu[0], *(profile for profile in menu[1:] if profile.standalone_cycles <= limit))


def _fits(menus: list[Menu]) -> bool:
    budgets = [menu[0].table.machine.activation_buffer_bytes for menu in menus if menu]
    known = [budget for budget in budgets if budget is not None]
    return not known or sum(largest_table(menu).peak_activation_bytes for menu in menus if menu) <= min(known)
