"""What ``simulate`` and ``compare`` give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from layerweaver.backend_sim.results.schema.details import Details
from layerweaver.backend_sim.results.schema.fields import LENIENT
from layerweaver.backend_sim.results.schema.metric import Form, Said, Shown, Value
from layerweaver.backend_sim.results.schema.system import PoolNpu, System
from layerweaver.backend_sim.results.schema.tenant import Tenant
from layerweaver.backend_sim.run.groups import Group
from layerweaver.ir.limits import MAX_TENANTS

__all__ = ["MAX_RATE_FACTOR", "Comparison", "Confidence", "Difference", "Means", "Run"]

_P = Shown.PAGE


MAX_RATE_FACTOR = 1e9
"""Of the scenario's rates; a study's point scales them to a share of the bound."""


class Confidence(TypedDict):
    """Over repetitions, metric by metric: mean, sd, low, high and values, nested as the metrics are."""

    level: float
    tenants: list[dict[str, object]]
    system: dict[str, object]


class Means(TypedDict):
    """Means over repetitions of the figures without an interval that differ between them, by CSV column."""

    run: dict[str, float]
    tenants: list[dict[str, float]]
    system: dict[str, float]


@with_config(LENIENT)
class Run(TypedDict):
    """What ``simulate`` gives."""

    policy: str
    npu: str
    simulated_s: Annotated[
        float,
        Said("simulated s", Form.NUMBER, _P, "From the first scheduled arrival to the last completion."),
    ]
    tenants: Annotated[list[Tenant], Field(min_length=1, max_length=MAX_TENANTS)]
    system: System
    policy_options: NotRequired[Mapping[str, Value]]
    seed: NotRequired[int | None]
    seeds: NotRequired[int]
    rate_factor: NotRequired[Annotated[float, Field(gt=0, le=MAX_RATE_FACTOR)]]
    layers_executed: NotRequired[
        Annotated[
            int,
            Said("rows run", Form.COUNT, Shown.NOWHERE, "Rows of cost tables executed, warm-up included."),
        ]
    ]
    details: NotRequired[Details | None]
    scenario: NotRequired[dict[str, object]]
    npus: NotRequired[list[PoolNpu]]
    groups: NotRequired[list[Group]]
    confidence: NotRequired[Confidence]
    means: NotRequired[Means]
    notes: NotRequired[list[str]]
    warnings: NotRequired[list[str]]
    interrupted: NotRequired[bool]
    run: NotRequired[dict[str, Value]]


class Difference(TypedDict):
    """One policy's metrics less another's on common seeds, as in :class:`Confidence`."""

    policy: str
    against: str
    level: float
    tenants: list[dict[str, object]]
    system: dict[str, object]


class Comparison(TypedDict):
    """What ``compare`` gives; ``differences`` with ``--seeds``."""

    runs: list[Run]
    differences: NotRequired[list[Difference]]
