"""A study, read and checked: what every point is, before any is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.study.sweep.axes import (
    AxisValues,
    grid_point,
)
from layerweaver.backend_sim.study.sweep.measure import Job
from layerweaver.backend_sim.study.sweep.schema import StudySpec
from layerweaver.ir.yaml_source import YamlSource

__all__ = ["Study"]


@dataclass(frozen=True, eq=False)
class Study:
    """A study whose axes are checked.

    Attributes:
        spec: Its keys.
        source: The document with its lines.
        axes: The axes in order.
        job: What every worker needs.
        folder: Folder that its paths are relative to; those inside a scenario file are to that.
        parts: Digest of every part that the points depend on, by name.
    """

    spec: StudySpec
    source: YamlSource
    axes: tuple[AxisValues, ...]
    job: Job
    folder: Path
    parts: Mapping[str, str]

    @property
    def objectives(self) -> tuple[str, ...]:
        """Columns to be large, then those to be small."""
        return (*self.spec.objectives.maximise, *self.spec.objectives.minimise)

    @cached_property
    def total(self) -> int:
        """Number of points."""
        sample = self.spec.sample
        count = sample.points or sample.trials
        if count is not None:
            return count
        total = 1
        for axis in self.axes:
            total *= len(axis.values)
        return total

    @cached_property
    def _shares(self) -> Any:
        """Of a sampled study, where every point lies on every axis, shape (points, axes), in [0, 1)."""
        import numpy as np  # noqa: PLC0415

        sample, width = self.spec.sample, max(1, len(self.axes))
        if sample.kind == "random":
            return np.random.Generator(np.random.PCG64(sample.seed)).random((self.total, width))
        from scipy.stats import qmc  # noqa: PLC0415 - loads slowly

        exponent = max(0, (self.total - 1).bit_length())
        return qmc.Sobol(width, rng=np.random.default_rng(sample.seed)).random_base2(exponent)[: self.total]

    def values(self, number: int) -> tuple[Any, ...]:
        """The values of a point, in the order of the axes."""
        if self.spec.sample.kind == "grid":
            return grid_point(self.axes, number)
        shares = self._shares[number].tolist()
        return tuple(axis.sampled(share) for axis, share in zip(self.axes, shares, strict=False))
