"""The arrivals of a scenario as rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest, make_source
from layerweaver.backend_sim.scenario.reading import builtin_scenario, load_scenario
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.study.inputs import ScenarioRef
from layerweaver.backend_sim.traffic.source import Arrivals
from layerweaver.ir import ScenarioError
from layerweaver.ir.documents import given_seed
from layerweaver.ir.given import check_flags
from layerweaver.ir.text import first_of

__all__ = ["traffic"]
_NAMED = 5
LOGGER = logging.getLogger("layerweaver")


def traffic(
    source: ScenarioRef = None, seed: int | None = None, *, skip_bad_rows: bool = False
) -> Iterator[tuple[str, int, int]]:
    """Rows ``(tenant, query, arrival_ns)`` of every open-loop tenant, tenant after tenant.

    Raises:
        LayerweaverError: If the scenario or a trace is wrong. Tenants that wait for the NPU have no rows.
    """
    check_flags(ScenarioError, skip_bad_rows=skip_bad_rows)
    if isinstance(source, PreparedScenario):
        scenario = source.scenario
    elif isinstance(source, Scenario):
        scenario = source
    else:
        scenario = builtin_scenario() if source is None else load_scenario(source)
    if skip_bad_rows:
        scenario = scenario.with_skipping(True)

    seed = given_seed(seed, ScenarioError)
    request = TrafficRequest(seed=seed)
    for line in (*scenario.warnings, *scenario.of_seeds(seed)):
        LOGGER.warning("warning: %s", line)
    sources = [make_source(scenario, index, request) for index in range(len(scenario.spec.tenants))]
    names = [tenant.name for tenant in scenario.spec.tenants]
    if waiting := [
        name for name, source in zip(names, sources, strict=True) if not isinstance(source, Arrivals)
    ]:
        LOGGER.warning(
            "no times of %s: requests of loops and streams wait for the machine",
            first_of(waiting, _NAMED, "tenants"),
        )
    return _arrivals(
        (name, source) for name, source in zip(names, sources, strict=True) if isinstance(source, Arrivals)
    )


def _arrivals(streams: Iterable[tuple[str, Arrivals]]) -> Iterator[tuple[str, int, int]]:
    for name, stream in streams:
        number = 0
        while len(times := stream.take(1 << 16)):
            for arrival_ns in times.tolist():
                yield name, number, arrival_ns
                number += 1
        if skipped := getattr(stream, "skipped", 0):
            LOGGER.warning("%s: %d bad rows of its trace were skipped", name, skipped)
