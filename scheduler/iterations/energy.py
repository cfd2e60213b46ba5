"""Energy of iterations: linear in sums over their members, so that a run only has to keep those sums."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.columns import CLIPS
from layerweaver.costmodel.compute.vector import category_costs
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.scheduler.iterations.rows import FEATURES, IterationRow, IterationRows, Term

__all__ = ["KINDS", "SUMS", "EnergyRates", "energy_rates"]

FloatArray = NDArray[np.float64]

SUMS = FEATURES + 1
"""What is summed over iterations: the features, and the sequences that emit."""

KINDS = 4
"""Kinds of iterations: of any members, of one new token each, and both again of a single member."""

_ALONE, _TOKENS, _EMITTING = 5, 6, FEATURES
_PRODUCTS = {(0, 0): 5, (0, 1): 6, (0, 2): 7, (1, 1): 9, (1, 2): 8}
"""Place of the product of two of 1, q and p, the lesser first."""


@dataclass(frozen=True, slots=True, eq=False)
class EnergyRates:
    """What iterations take besides their traffic, which a run counts itself.

    Attributes:
        per_sum_pj: Picojoules per unit of each sum, for each window and kind of iteration, shape (windows,
            KINDS, SUMS).
        dram_byte_pj: Picojoules per byte that moves.
    """

    per_sum_pj: FloatArray
    dram_byte_pj: float

    def energy_pj(self, sums: NDArray[np.int64], data_bytes: int) -> float:
        """Energy of iterations.

        Args:
            sums: Shape (windows, KINDS, SUMS).
            data_bytes: What they move through DRAM, without its latency.
        """
        return float((self.per_sum_pj * sums).sum()) + data_bytes * self.dram_byte_pj


def energy_rates(
    rows: IterationRows, weight_bytes: NDArray[np.int64], config: NpuConfig
) -> EnergyRates | None:
    """By the rules of :func:`~layerweaver.costmodel.model.layer_energy_pj`, without its rounding by layer.

    Args:
        rows: The decoder.
        weight_bytes: Weights in the buffer, of distinct rows by kind.
        config: The NPU.

    Returns:
        The rates; None without an energy table, or where products grow faster than the sums tell, or where
        the rows do not tell what of their work costs the NPU nothing.
    """
    table, free = config.energy, _free_of_the_vector_unit(config)
    if table is None or (free and not rows.labels):
        return None
    lane_cycles, denominator = category_costs(config.vector)
    distinct, windows = len(rows.distinct), rows.windows
    rates, kinds = np.zeros((len(windows), KINDS, SUMS)), rows.kinds
    for kind, of_kind in enumerate(kinds):
        labels = [label.single_operators if kind % 2 else label.operators for label in rows.labels]
        alike = Counter(zip(rows.row_index.tolist(), labels if free else itertools.repeat(()), strict=False))
        for (place, operators), times in alike.items():
            row = of_kind[place]
            macs = _products(row)
            if macs is None:
                return None
            operations, moved = np.zeros(SUMS), np.zeros(SUMS)
            for term, operator in itertools.zip_longest(row.vector, operators if row.vector else ()):
                if operator not in free:
                    operations += _counts(row, term, kind % 2) * (int(lane_cycles[term.unit]) / denominator)
            for term in (*row.inputs, *row.outputs):
                moved += _counts(row, term, kind % 2) * ((config.activation_bits or term.unit) / 8)
            moved[0] += weight_bytes[place + kind * distinct]
            energy = macs * table.mac_pj + operations * table.vector_op_pj + moved * table.sram_byte_pj
            rates[windows.index(row.window), kind] += times * energy
    if len(kinds) == 2:
        rates[:, 2:] = rates[:, :2]
    return EnergyRates(rates, table.dram_byte_pj)


def _free_of_the_vector_unit(config: NpuConfig) -> tuple[str, ...]:
    """Operators that cost the vector unit nothing: clips in passing, and what a host runs."""
    clips = CLIPS if config.vector.free_clips else ()
    return clips if config.host is None else (*clips, *config.host.operators)


def _counts(row: IterationRow, term: Term, kind: int) -> FloatArray:
    """A term over the sums; rows of sequences count those that emit."""
    rates = np.zeros(SUMS)
    rates[:FEATURES] = term.coefficients
    if row.by != "attention" and (kind == 0 or row.by == "sequences"):
        rates[_EMITTING], rates[_ALONE] = rates[_ALONE], 0
    return rates


def _products(row: IterationRow) -> FloatArray | None:
    """Multiply-accumulates over the sums; None if they grow with more than the sums tell."""
    rates = np.zeros(SUMS)
    if row.attention is None:
        place = {"tokens": _TOKENS, "sequences": _EMITTING, "nothing": 0, "": 0}[row.by]
        rates[place] = float(row.m) * row.n * row.k * row.groups * row.steps
        return rates
    shape = row.attention
    grown: dict[tuple[int, ...], float] = {(): float(shape.groups * row.steps)}
    for extent in (shape.m, shape.n, shape.k):
        terms: dict[tuple[int, ...], float] = {}
        for powers, value in grown.items():
            for power, factor in enumerate(extent):
                if factor:
                    key = tuple(sorted((*powers, power))) if power else powers
                    terms[key] = terms.get(key, 0.0) + value * factor
        grown = terms
    for powers, value in grown.items():
        places = (0, 0, *powers)[-2:]
        if len(powers) > 2 or places not in _PRODUCTS:
            return None
        rates[_PRODUCTS[places]] += value
    return rates
