"""The axis ``load`` of a study: all rates scaled to a share of the two-resource bound."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.ir.text import figure, first_of

__all__ = ["load_factor", "other_load"]

_KEPT = 64
_VISIBLE = 0.1
"""A run whose offered share differs from its load by a smaller part of it has the load."""
_NAMED = 3


def load_factor(prepared: PreparedScenario, load: float) -> float:
    """The factor on all rates of a scenario at which they are a share of its bound.

    Raises:
        ScenarioError: If a tenant has no rate to scale, or requests take no time.
    """
    return load * _bound_factor(prepared)


@functools.lru_cache(maxsize=_KEPT)
def _bound_factor(prepared: PreparedScenario) -> float:
    from layerweaver.backend_sim.study.peak.plan import bound_factor  # noqa: PLC0415 - loads SciPy

    return bound_factor(prepared)


def other_load(prepared: PreparedScenario, document: Run, load: float) -> Iterator[str]:
    """That a run saw a part of changing rates, with another mean than the whole, where it did."""
    spec = prepared.scenario.spec
    changing = [tenant.name for tenant in spec.tenants if tenant.arrival.changes(spec.duration_s)]
    share = document["system"].get("offered_share")
    if changing and share is not None and abs(share - load) > _VISIBLE * load:
        yield (
            f"load {load:g} offers {figure(share)} of the bound: it goes by the mean rates that arrivals "
            "state, of whole traces and periods, of which a run may see a part "
            f"({first_of(changing, _NAMED, 'tenants')})"
        )
