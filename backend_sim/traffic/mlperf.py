"""MLPerf inference limits per model, as shipped in ``mlperf_models.csv``.

Its ``other_names`` are those of LoadGen's ``mlperf.conf`` and of the submission checker, which name the
accuracy too (``bert-99.9``); latency limits do not depend on that.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["MlperfLimits", "mlperf_limits"]


@dataclass(frozen=True, slots=True)
class MlperfLimits:
    """What MLPerf asks of a model.

    Attributes:
        model: Name in the rules, for example ``resnet50-v1.5``.
        server_latency_ms: Latency limit of the Server scenario; None where there is none (or it is stated
            per token).
        server_ttft_ms: Limit of the time to the first token; None where there is none.
        server_tpot_ms: Limit of the time per further token; None where there is none.
        percentile: Percentile that must keep the limit.
        offline_min_samples: Least number of samples in the Offline scenario; None if unknown.
    """

    model: str
    server_latency_ms: float | None
    server_ttft_ms: float | None
    server_tpot_ms: float | None
    percentile: float
    offline_min_samples: int | None


@cache
def mlperf_limits() -> dict[str, MlperfLimits]:
    """All limits by model name, by each of its names."""
    text = files("layerweaver.backend_sim.traffic").joinpath("mlperf_models.csv").read_text("utf-8")
    limits: dict[str, MlperfLimits] = {}
    for row in csv.DictReader(text.splitlines()):
        latency_ms = float(row["server_latency_ms"] or 0)
        found = MlperfLimits(
            row["model"],
            latency_ms if latency_ms > 0 else None,
            float(row["server_ttft_ms"]) if row["server_ttft_ms"] and row["server_tpot_ms"] else None,
            float(row["server_tpot_ms"]) if row["server_tpot_ms"] else None,
            float(row["server_percentile"] or 99),
            int(row["offline_min_samples"]) if row["offline_min_samples"] else None,
        )
        limits |= dict.fromkeys((found.model, *row["other_names"].split()), found)
    return limits
