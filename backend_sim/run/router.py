"""A pool of NPUs behind a router: every request is sent to one NPU when it arrives.

Routers see arrivals only, never what the NPUs did with them: the work outstanding on an NPU is estimated by
standalone times, as if requests ran one after the other (*ours*). So routing is deterministic and the NPUs
can be simulated one by one. Sources that react to the machine (closed loops, saturated and single streams)
cannot be routed this way and are refused.

- ``round_robin``: NPUs in turn, over all tenants together;
- ``least_work``: the NPU that would finish the request first;
- ``balanced``: after the load balancer that the Layerweaver paper suggests, compute and memory work are
  counted apart, and the NPU is taken whose busier resource would be least so (ties: the least total);
- ``power_of_two``: the better, by ``least_work``, of two NPUs drawn at random (Mitzenmacher 2001).

Ties go to the NPU with the lowest index.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.traffic.source import Arrivals
from layerweaver.backend_sim.traffic.stream import derive_seed, take_all
from layerweaver.ir import ScenarioError
from layerweaver.ir.clock import cycles_to_ns_down
from layerweaver.scheduler.machine.jit import compile_bound

__all__ = ["ROUTER_CODES", "ArrayArrivals", "route", "route_requests"]

ROUTER_CODES = {"round_robin": 0, "least_work": 1, "balanced": 2, "power_of_two": 3}


class ArrayArrivals:
    """Arrivals from an array of times in ns.

    Args:
        times_ns: The times.
        source: Where they came from, where this is to speak for it.

    Attributes:
        skipped: Bad rows that the source left out.
        said: What of it a result does not explain.
    """

    def __init__(self, times_ns: NDArray[np.int64], source: object = None) -> None:
        self._times = times_ns
        self.skipped: int = getattr(source, "skipped", 0)
        self.said: tuple[str, ...] = getattr(source, "said", ())

    def take(self, count: int) -> NDArray[np.int64]:
        """The next at most ``count`` times."""
        piece, self._times = self._times[:count], self._times[count:]
        return piece


def _route(  # noqa: PLR0917 - compiled code is called by position and allocates nothing
    times_ns: NDArray[np.int64],
    tenants: NDArray[np.int64],
    costs_ns: NDArray[np.int64],
    router: int,
    draws: NDArray[np.int64],
    free: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> None:
    """Decide on the NPU of every request.

    Args:
        times_ns: Shape (n,), ascending.
        tenants: Shape (n,).
        costs_ns: Shape (3, tenants, npus): standalone, compute and memory time of a request.
        router: One of :data:`ROUTER_CODES`.
        draws: Shape (n, 2): two NPUs drawn per request; shape (0, 2) unless the router draws.
        free: Shape (3, npus): from when on each is free, by the same estimates; changed.
        chosen: Shape (n,): the NPUs, written here.
    """
    npus = costs_ns.shape[2]
    for request in range(len(times_ns)):
        now, tenant = times_ns[request], tenants[request]
        best = 0
        if router == 0:
            best = request % npus
        elif router == 3:
            first, second = (
                min(draws[request, 0], draws[request, 1]),
                max(draws[request, 0], draws[request, 1]),
            )
            ends_first = max(free[0, first], now) + costs_ns[0, tenant, first]
            ends_second = max(free[0, second], now) + costs_ns[0, tenant, second]
            best = first if ends_first <= ends_second else second
        else:
            least, least_total = np.int64(2**62), np.int64(2**62)
            for npu in range(npus):
                if router == 1:
                    score = max(free[0, npu], now) + costs_ns[0, tenant, npu]
                    total = score
                else:
                    compute = max(free[1, npu], now) + costs_ns[1, tenant, npu]
                    memory = max(free[2, npu], now) + costs_ns[2, tenant, npu]
                    score = max(compute, memory)
                    total = compute + memory - now
                if score < least or (score == least and total < least_total):
                    least, least_total, best = score, total, npu
        for resource in range(3):
            free[resource, best] = max(free[resource, best], now) + costs_ns[resource, tenant, best]
        chosen[request] = best


@functools.cache
def _compiled_route() -> Callable[..., Any]:
    return compile_bound(cast(FunctionType, _route), {}, "router")


def route(
    times_ns: NDArray[np.int64],
    tenants: NDArray[np.int64],
    costs_ns: NDArray[np.int64],
    router: str,
    seed: int = 0,
    *,
    compiled: bool = True,
) -> NDArray[np.int64]:
    """The NPU of every request, shape (n,); see :func:`_route` for the arguments."""
    npus = costs_ns.shape[2]
    draws = np.empty((0, 2), np.int64)
    if router == "power_of_two":
        draws = np.random.Generator(np.random.PCG64(derive_seed(seed, 0))).integers(
            0, npus, (len(times_ns), 2)
        )
        if npus > 1:
            # Two different NPUs: the second is drawn among the others.
            draws[:, 1] = (draws[:, 0] + 1 + draws[:, 1] % (npus - 1)) % npus
    function: Any = _compiled_route() if compiled else _route
    chosen = np.empty(len(times_ns), np.int64)
    function(times_ns, tenants, costs_ns, ROUTER_CODES[router], draws, np.zeros((3, npus), np.int64), chosen)
    return chosen


def _costs_ns(prepared: PreparedScenario) -> NDArray[np.int64]:
    machines = prepared.machines
    costs = np.empty((3, len(machines[0][1]), len(machines)), np.int64)
    for npu, (machine, menus) in enumerate(machines):
        for tenant, menu in enumerate(menus):
            profile = menu[0]
            work = (
                profile.standalone_cycles,
                int(profile.table.compute_cycles.sum()),
                int(profile.table.memory_cycles.sum()),
            )
            costs[:, tenant, npu] = [
                cycles_to_ns_down(cycles, machine.clock_hz) // profile.table.batch for cycles in work
            ]
    return costs


def route_requests(prepared: PreparedScenario, request: TrafficRequest) -> Iterator[Sequence[ArrayArrivals]]:
    """The requests of all tenants, NPU by NPU; those of the first speak for the sources.

    Raises:
        ScenarioError: If a tenant's source reacts to the machine.
    """
    scenario = prepared.scenario
    for index, tenant in enumerate(scenario.spec.tenants):
        if tenant.arrival.waits:
            raise ScenarioError(
                f"{tenant.arrival.kind} cannot be routed over a pool",
                where=scenario.where("tenants", index, "arrival"),
                accepted="give arrivals that do not wait for the NPU, or a single npu",
            )
    sources = [source for source in prepared.sources(request) if isinstance(source, Arrivals)]
    times = [take_all(source) for source in sources]
    merged = np.concatenate(times)
    owners = np.repeat(np.arange(len(times)), [len(piece) for piece in times])
    order = np.argsort(merged, kind="stable")
    spec = scenario.spec
    chosen = np.empty(len(merged), np.int64)
    chosen[order] = route(merged[order], owners[order], _costs_ns(prepared), spec.router, spec.router_seed)
    starts: Sequence[int] = np.cumsum([0] + [len(piece) for piece in times]).tolist()
    for npu in range(len(prepared.machines)):
        yield [
            ArrayArrivals(piece[chosen[start : start + len(piece)] == npu], source if npu == 0 else None)
            for piece, start, source in zip(times, starts, sources, strict=False)
        ]
