"""Upper bounds on what any schedule can deliver: no policy is ever above them (*ours*, two resources).

The compute engine and the DMA engine each give one cycle of work per cycle. Every throughput that the tool
prints is set beside one of these bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir import ScenarioError
from layerweaver.scheduler.offline import ModelProfile

__all__ = ["LoopBound", "closed_loop_bound", "mix_bound", "pool_bound"]

Menu = Sequence[ModelProfile]
"""What one tenant may run: its model at each allowed batch size, on one NPU."""


@dataclass(frozen=True, slots=True)
class LoopBound:
    """Solution of the linear programme for closed loops.

    Attributes:
        value: Largest weighted sum of rates; with the default weights this is STP.
        rates_qps: Requests per second of every tenant at that optimum.
    """

    value: float
    rates_qps: tuple[float, ...]


def _demand_s(profile: ModelProfile) -> tuple[float, float]:
    """Seconds of compute and of memory of one batch."""
    clock_hz = profile.table.machine.clock_hz
    return (
        int(profile.table.compute_cycles.sum()) / clock_hz,
        int(profile.table.memory_cycles.sum()) / clock_hz,
    )


def _checked_shares(shares: Sequence[float], tenants: int) -> NDArray[np.float64]:
    values = np.asarray(shares, dtype=np.float64)
    if len(values) != tenants or tenants == 0:
        raise ScenarioError(
            f"{len(values)} shares for {tenants} tenants", accepted="give one share per tenant, one or more"
        )
    if not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
        raise ScenarioError("shares must be finite, not negative and not all zero")
    return np.asarray(values / values.sum(), dtype=np.float64)


def mix_bound(profiles_by_tenant: Sequence[Menu], shares: Sequence[float]) -> float:
    """Requests per second, over all tenants, that no schedule of this mix on one NPU can exceed.

    ``1 / max(sum s_i C_i, sum s_i M_i)`` with ``C_i`` and ``M_i`` the compute and memory seconds per request;
    with batching the least of ``C(B)/B`` and of ``M(B)/B`` over the batch sizes, taken separately.

    Args:
        profiles_by_tenant: Per tenant, its model at every batch size it may run.
        shares: Per tenant, its share of the requests, in any unit (they are normalised).

    Returns:
        Requests per second; infinity when the mix needs no time at all.

    Raises:
        ScenarioError: If shares and tenants do not fit each other.
    """
    weights: list[float] = _checked_shares(shares, len(profiles_by_tenant)).tolist()
    compute_s = memory_s = 0.0
    for weight, menu in zip(weights, profiles_by_tenant, strict=True):
        demands = [(_demand_s(profile), profile.table.batch) for profile in menu]
        compute_s += weight * min(compute / batch for (compute, _), batch in demands)
        memory_s += weight * min(memory / batch for (_, memory), batch in demands)
    busiest_s = max(compute_s, memory_s)
    return 1.0 / busiest_s if busiest_s > 0 else math.inf


def closed_loop_bound(
    profiles_by_tenant: Sequence[Menu],
    *,
    concurrency: Sequence[int | None] | None = None,
    think_s: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
) -> LoopBound:
    """The two-resource linear programme for streams that always offer work.

    Maximises ``sum w_i x_i`` over batch rates: both engines at most fully used, and every client of a closed
    loop waits at least the standalone time of what it asked for.

    Args:
        profiles_by_tenant: Per tenant, its model at every batch size it may run.
        concurrency: Clients per tenant; None for a stream that never waits (saturated).
        think_s: Think time per tenant; default 0.
        weights: Value of a request per tenant; default its standalone seconds at the smallest batch, so
            that the optimum is the largest possible STP.

    Returns:
        The optimum and the rates that reach it (infinite when nothing limits them).

    Raises:
        ScenarioError: If there is no tenant.
    """
    tenants = len(profiles_by_tenant)
    _checked_shares([1.0] * tenants, tenants)
    clients = concurrency or [None] * tenants
    pauses = think_s or [0.0] * tenants
    values = weights or [
        menu[0].standalone_cycles / menu[0].table.machine.clock_hz for menu in profiles_by_tenant
    ]
    columns = [(tenant, profile) for tenant, menu in enumerate(profiles_by_tenant) for profile in menu]
    limits = np.zeros((2 + tenants, len(columns)))
    for column, (tenant, profile) in enumerate(columns):
        limits[:2, column] = _demand_s(profile)
        latency_s = profile.standalone_cycles / profile.table.machine.clock_hz + pauses[tenant]
        limits[2 + tenant, column] = latency_s * profile.table.batch
    rows = [0, 1, *(2 + tenant for tenant in range(tenants) if clients[tenant] is not None)]
    room = np.array([1.0, 1.0, *(float(count) for count in clients if count is not None)])
    gains = np.array([values[tenant] * profile.table.batch for tenant, profile in columns])
    from scipy.optimize import linprog  # noqa: PLC0415 - loads slowly

    solution = linprog(-gains, A_ub=limits[rows], b_ub=room, bounds=(0, None), method="highs")
    if solution.x is None or solution.fun is None:
        return LoopBound(math.inf, (math.inf,) * tenants)
    rates = [0.0] * tenants
    for rate, (tenant, profile) in zip(solution.x, columns, strict=True):
        rates[tenant] += float(rate) * profile.table.batch
    return LoopBound(float(-solution.fun), tuple(rates))


def pool_bound(
    menus_by_npu: Sequence[Sequence[Menu]], shares: Sequence[float], counts: Sequence[int] | None = None
) -> float:
    """Requests per second that no routing over a pool of NPUs can exceed.

    Maximises the total rate over how every tenant's requests are routed (and batched): each kind of NPU has
    ``count`` cycles of compute and of memory per cycle.

    Args:
        menus_by_npu: Per kind of NPU, per tenant, its model at every batch size on that NPU; an empty menu
            means the tenant cannot run there.
        shares: Per tenant, its share of the requests (normalised).
        counts: NPUs of every kind; default one each.

    Returns:
        Requests per second; 0 when a tenant with a share can run nowhere.

    Raises:
        ScenarioError: If there is no NPU, or shares and tenants do not fit each other.
    """
    if not menus_by_npu:
        raise ScenarioError("the pool has no NPU", accepted="give one or more")
    tenants = len(menus_by_npu[0])
    weights = _checked_shares(shares, tenants)
    numbers = counts or [1] * len(menus_by_npu)
    columns = [
        (npu, tenant, profile)
        for npu, menus in enumerate(menus_by_npu)
        for tenant, menu in enumerate(menus)
        for profile in menu
    ]
    if any(
        weights[tenant] > 0 and not any(menus[tenant] for menus in menus_by_npu) for tenant in range(tenants)
    ):
        return 0.0
    capacity = np.zeros((2 * len(menus_by_npu), len(columns) + 1))
    routing = np.zeros((tenants, len(columns) + 1))
    routing[:, -1] = -weights
    for column, (npu, tenant, profile) in enumerate(columns):
        capacity[2 * npu : 2 * npu + 2, column] = _demand_s(profile)
        routing[tenant, column] = profile.table.batch
    gains = np.zeros(len(columns) + 1)
    gains[-1] = -1.0
    from scipy.optimize import linprog  # noqa: PLC0415 - loads slowly

    solution = linprog(
        gains,
        A_ub=capacity,
        b_ub=np.repeat(np.asarray(numbers, dtype=np.float64), 2),
        A_eq=routing,
        b_eq=np.zeros(tenants),
        bounds=(0, None),
        method="highs",
    )
    return math.inf if solution.fun is None else float(-solution.fun)
