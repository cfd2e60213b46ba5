"""The kinds of arrivals that a scenario file can ask for, with their keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

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

__all__ = ["ArrivalSpec"]


ArrivalSpec = Annotated[
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
    | TraceSpec,
    Field(discriminator="kind"),
]
