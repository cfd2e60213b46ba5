"""Reproduce SCALE-Sim: the serial weight-stationary cycles that it reported, layer by layer."""

from __future__ import annotations

import csv
from importlib import resources

import numpy as np

from layerweaver.costmodel.compute.arrays import ArrayWork, weight_stationary
from layerweaver.costmodel.npu.sections import ArrayConfig

__all__ = ["SCALE_SIM_INDEX", "reproduce_scalesim"]

SCALE_SIM_INDEX = 1
"""SCALE-Sim reports the 0-based index of the last cycle, one less than the number of cycles."""


def reproduce_scalesim() -> dict[str, int]:
    """Compare with every per-layer figure of SCALE-Sim 3.0.0 at 128 x 128, weight stationary.

    Returns:
        ``count`` layers compared and how many of them agree to the cycle, ``exact``.
    """
    rows: list[tuple[int, int, int, int]] = []
    for file in sorted(
        resources.files("layerweaver.backend_sim.study.reproduce.data").iterdir(), key=lambda item: item.name
    ):
        if file.name.startswith("scalesim_"):
            rows += [
                (int(row["M"]), int(row["N"]), int(row["K"]), int(float(row["total_cycles"])))
                for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())
            ]
    m, n, k, reported = np.array(rows, dtype=np.int64).T
    array = ArrayConfig(rows=128, columns=128, double_buffered=False)
    cycles = weight_stationary(ArrayWork.products(m, n, k), array)
    return {"count": len(rows), "exact": int(np.count_nonzero(cycles - SCALE_SIM_INDEX == reported))}
