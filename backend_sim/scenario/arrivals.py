"""What one run asks of the arrivals of a scenario's tenants."""

from __future__ import annotations

from dataclasses import dataclass

from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.traffic.arrival import Asked
from layerweaver.backend_sim.traffic.source import Source
from layerweaver.backend_sim.traffic.stream import derive_seed
from layerweaver.ir import ScenarioError
from layerweaver.ir.clock import seconds_to_ns_nearest
from layerweaver.ir.documents import SEEDS, is_seed

__all__ = ["TrafficRequest", "make_source", "tenant_seed"]


@dataclass(frozen=True, slots=True)
class TrafficRequest:
    """What varies between runs of one scenario.

    Attributes:
        factor: Open-loop rates are multiplied by it.
        only: Index of the one tenant that ``factor`` applies to; None for all.
        seed: Replaces every tenant's seed by one derived from it and the tenant's index; None keeps them.
        replica: Number of the repetition; from 1 on, seeds are derived from the tenants' own.
        queries: Per tenant, exactly so many queries, whatever the scenario says; None leaves it to it.
    """

    factor: float = 1.0
    only: int | None = None
    seed: int | None = None
    replica: int = 0
    queries: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what is no seed, from wherever it comes."""
        if self.seed is not None and not is_seed(self.seed):
            raise ScenarioError(f"{str(self.seed)[:40]!r} is not a seed", accepted=SEEDS)


def tenant_seed(scenario: Scenario, index: int, request: TrafficRequest) -> int:
    """The seed of one tenant's arrivals.

    Without a seed in the scenario it is derived from 0 and the tenant's index, so all tenants differ.
    """
    own = getattr(scenario.spec.tenants[index].arrival, "seed", None)
    seed = own if own is not None else derive_seed(0, index)
    if request.seed is not None:
        seed = derive_seed(request.seed, index)
    return seed if request.replica == 0 else derive_seed(seed, 1_000 + request.replica)


def make_source(
    scenario: Scenario, index: int, request: TrafficRequest, *, exactly: int | None = None
) -> Source:
    """A fresh source of one tenant's requests; ``exactly`` so many, whatever scenario and request say.

    Raises:
        TrafficError: If a trace cannot be read or has no row for the tenant.
        ScenarioError: If the number of offline samples cannot be known.
    """
    spec, tenant = scenario.spec, scenario.spec.tenants[index]
    duration_ns = None if spec.duration_s is None else seconds_to_ns_nearest(spec.duration_s)
    least, most = spec.min_queries, None
    if exactly is not None:
        duration_ns, least, most = None, exactly, exactly
    elif request.queries is not None:
        duration_ns, least, most = None, request.queries[index], request.queries[index]
    return tenant.arrival.source(
        Asked(
            length=scenario.length(index),
            duration_ns=duration_ns,
            min_queries=least,
            max_queries=most,
            factor=request.factor if request.only in (None, index) else 1.0,
            seed=tenant_seed(scenario, index, request),
            tenant=tenant.name,
            place=scenario.where("tenants", index, "arrival"),
            path_of=scenario.path_of,
            skip_bad_rows=scenario.skip_bad_rows,
            with_tokens=tenant.lengths_from_trace,
            fixed_costs=not tenant.is_llm,
        )
    )
