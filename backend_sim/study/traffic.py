"""The arrivals of a scenario as rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from layerweaver.backend_sim.scenario.arrivals import TrafficRequest, make_source
from layerweaver.backend_sim.study.inputs import ScenarioRef, as_scenario
from layerweaver.backend_sim.traffic.source import Arrivals, skipped_text
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
    scenario = as_scenario(source)
    if skip_bad_rows:
        scenario = scenario.with_skipping(True)

    seed = given_seed(seed, ScenarioError)
    request = TrafficRequest(seed=seed)
    for line in (*scenario.warnings, *scenario.of_seeds(seed)):
        LOGGER.warning("warning: %s", line)
    streams, waiting = list[tuple[str, Arrivals]](), list[str]()
    for index, tenant in enumerate(scenario.spec.tenants):
        stream = make_source(scenario, index, request)
        if isinstance(stream, Arrivals):
            streams.append((tenant.name, stream))
        else:
            waiting.append(tenant.name)
    if waiting:
        LOGGER.warning(
            "no times of %s: requests of loops and streams wait for the machine",
            first_of(waiting, _NAMED, "tenants"),
        )
    return _arrivals(streams)


def _arrivals(streams: Iterable[tuple[str, Arrivals]]) -> Iterator[tuple[str, int, int]]:
    for name, stream in streams:
        number = 0
        while len(times := stream.take(1 << 16)):
            for arrival_ns in times.tolist():
                yield name, number, arrival_ns
                number += 1
        if skipped := getattr(stream, "skipped", 0):
            LOGGER.warning("%s", skipped_text(name, skipped))
