"""The kinds of arrivals that a scenario file can ask for, with their keys: ours, and those that packages add.

A package registers a class derived from :class:`~layerweaver.backend_sim.traffic.arrival.Arrival`, with
``kind: Literal["NAME"]``, as entry point ``NAME`` of the group ``layerweaver.arrivals``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias, Union, get_args

from pydantic import Field

from layerweaver.backend_sim.traffic.arrival import Arrival
from layerweaver.backend_sim.traffic.guarded import guarded
from layerweaver.backend_sim.traffic.loops import (
    ClosedLoopSpec,
    MultiStreamSpec,
    SaturatedSpec,
    SingleStreamSpec,
)
from layerweaver.backend_sim.traffic.modulated import BurstsSpec, MmppSpec, RampSpec
from layerweaver.backend_sim.traffic.offline import OfflineSpec
from layerweaver.backend_sim.traffic.poisson import PoissonSpec
from layerweaver.backend_sim.traffic.recorded import TraceSpec
from layerweaver.backend_sim.traffic.renewal import GammaSpec, PeriodicSpec
from layerweaver.ir import ScenarioError
from layerweaver.ir.plugins import ARRIVALS, PluginGroup

__all__ = ["ArrivalSpec"]

_Ours: TypeAlias = (
    PoissonSpec
    | GammaSpec
    | MmppSpec
    | RampSpec
    | BurstsSpec
    | PeriodicSpec
    | ClosedLoopSpec
    | SaturatedSpec
    | OfflineSpec
    | SingleStreamSpec
    | MultiStreamSpec
    | TraceSpec
)
_PLUGINS = PluginGroup(ARRIVALS, "kind of arrivals", ScenarioError, {})


def _added() -> Sequence[type[Arrival]]:
    """Kinds of other packages.

    Raises:
        ScenarioError: If one of them is no kind of arrivals.
    """
    ours = {name for kind in get_args(_Ours) for name in get_args(kind.model_fields["kind"].annotation)}
    found: list[type[Arrival]] = []
    for name in _PLUGINS.names:
        kind = _PLUGINS.load(name)
        sound = isinstance(kind, type) and issubclass(kind, Arrival) and "kind" in kind.model_fields
        if not sound or get_args(kind.model_fields["kind"].annotation) != (name,) or name in ours:
            raise ScenarioError(
                f"{name!r} ({_PLUGINS.entries[name].value}) is no kind of arrivals of that name",
                where=f"entry points {_PLUGINS.group}",
                accepted=f"a class derived from Arrival with kind: Literal[{name!r}], not one of "
                f"{', '.join(sorted(ours))}",
            )
        found.append(guarded(name, kind))
    return found


if TYPE_CHECKING:
    ArrivalSpec: TypeAlias = _Ours
else:
    ArrivalSpec = Annotated[Union[(_Ours, *_added())], Field(discriminator="kind")]
