"""The keys of a study file: a scenario, axes, how they are sampled, and what is measured."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from layerweaver.ir.documents import Number, Seed, whole
from layerweaver.ir.sections import Section, refusal

__all__ = ["MAX_POINTS", "Axis", "Range", "Repeats", "SampleSpec", "StudySpec"]

MAX_POINTS = 10**6
"""A grid with more points than this is probably a mistake."""

_MAX_VALUES = 10**6


class Range(Section):
    """Evenly spaced values, ends included; ``log`` spaces their logarithms."""

    from_: Number = Field(alias="from")
    to: Number
    points: Annotated[int, whole(1, _MAX_VALUES)] | None = None
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not math.isfinite(self.to - self.from_) or (
            self.scale == "log" and self.from_ and not math.isfinite(self.to / self.from_)
        ):
            raise refusal("a range wider than numbers reach; give ends that lie closer", "to")
        if self.scale == "log" and min(self.from_, self.to) <= 0:
            raise refusal("a logarithmic range needs ends above 0", "from")
        return self

    def value(self, share: float) -> int | float:
        """The value at a share of the way, 0 to 1; whole where both ends are and it comes out so."""
        if self.scale == "log":
            exact = self.from_ * (self.to / self.from_) ** share
        else:
            exact = self.from_ + (self.to - self.from_) * share
        exact = float({0.0: self.from_, 1.0: self.to}.get(share, exact))
        nearest = round(exact)
        if self.from_.is_integer() and self.to.is_integer() and abs(exact - nearest) <= 1e-9 * abs(exact):
            return nearest
        return exact


class Repeats(Section):
    """So many seeds, from 1 on."""

    count: Annotated[int, whole(1, _MAX_VALUES)]


Axis = Range | Repeats | list[Any]


class SampleSpec(Section):
    """Which points of the axes' product are run.

    ``grid`` takes all, ``random`` and ``sobol`` as many as ``points`` says, ``search`` has ``trials`` chosen
    by what the earlier ones gave.
    """

    kind: Literal["grid", "random", "sobol", "search"] = "grid"
    points: Annotated[int, whole(1, 10**7)] | None = None
    trials: Annotated[int, whole(1, 10**6)] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _counted(self) -> Self:
        wanted = {"grid": None, "random": "points", "sobol": "points", "search": "trials"}[self.kind]
        if wanted is not None and getattr(self, wanted) is None:
            raise refusal(f"how many? give {wanted}", wanted)
        for key in {"points", "trials"} - {wanted}:
            if getattr(self, key) is not None:
                raise refusal(f"{self.kind} takes no {key}; leave it out", key)
        return self


class ObjectivesSpec(Section):
    """Columns to be large or small."""

    maximise: list[str] = Field(default_factory=list)
    minimise: list[str] = Field(default_factory=list)


class StudySpec(Section):
    """A whole study file."""

    scenario: str | dict[str, Any]
    axes: dict[str, Any] = Field(default_factory=dict)
    sample: SampleSpec = SampleSpec()
    measure: Literal["simulate", "peak", "cost"] = "simulate"
    objectives: ObjectivesSpec = ObjectivesSpec()
    queries: Annotated[int, whole(1, 10**9)] = 20_000

    @model_validator(mode="after")
    def _searched(self) -> Self:
        wanted = [*self.objectives.maximise, *self.objectives.minimise]
        if self.sample.kind == "search" and not wanted:
            raise refusal("a search needs an aim; give maximise or minimise", "objectives")
        if len(set(wanted)) < len(wanted):
            raise refusal("an objective is named twice; keep one", "objectives")
        return self
