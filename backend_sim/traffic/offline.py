"""All samples at once: MLPerf Offline."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.traffic.arrival import Arrival, Asked, Length, check_queries
from layerweaver.backend_sim.traffic.mlperf import mlperf_limits
from layerweaver.backend_sim.traffic.stream import CHUNK, Stopping, TimeStream
from layerweaver.ir import ScenarioError
from layerweaver.ir.documents import PositiveCount, Rate

__all__ = ["AllAtOnce", "OfflineSpec"]

_MARGIN = 1.1


class OfflineSpec(Arrival):
    """All samples at once; without ``samples`` the least that MLPerf asks for at ``qps``."""

    scalable = False
    bounded = False
    loadgen = True

    kind: Literal["offline"]
    samples: PositiveCount | None = None
    qps: Rate | None = None

    def check(self, length: Length, place: str) -> None:
        """The number of samples has to follow from something."""
        unknown = self.samples is None and (self.qps is None or length.duration_s is None)
        if unknown and length.mlperf_model is None:
            raise ScenarioError(
                "the number of samples is not known",
                where=place,
                accepted="give samples, or qps and duration_s",
            )
        expected = _MARGIN * (self.qps or 0.0) * (length.duration_s or 0.0)
        check_queries(
            expected, f"{self.qps or 0:g} queries per second over {length.duration_s or 0:g} s", place
        )

    def lasts(self) -> bool:
        """All is there at time 0."""
        return False

    def expected_queries(self, length: Length) -> float:
        """The samples, as far as they are known beforehand."""
        return self.samples or _MARGIN * (self.qps or 0.0) * (length.duration_s or 0.0)

    def source(self, asked: Asked) -> AllAtOnce:
        """MLPerf: max(least samples, ceil(1.1 x rate x duration))."""
        if asked.max_queries:
            return AllAtOnce(asked.max_queries)
        if self.samples is not None:
            return AllAtOnce(self.samples)
        model, duration_s = asked.length.mlperf_model, asked.length.duration_s
        samples = (mlperf_limits()[model].offline_min_samples or 0) if model else 0
        if self.qps is not None and duration_s is not None:
            samples = max(samples, math.ceil(_MARGIN * self.qps * duration_s))
        if samples < 1:
            raise ScenarioError(
                "the number of samples is not known", where=asked.place, accepted="give samples"
            )
        return AllAtOnce(samples)


class AllAtOnce(TimeStream):
    """``count`` requests at time 0: MLPerf Offline."""

    def __init__(self, count: int) -> None:
        super().__init__(Stopping())
        self._missing = count

    def _more(self) -> NDArray[np.int64]:
        piece = min(self._missing, CHUNK)
        self._missing -= piece
        return np.zeros(piece, np.int64)
