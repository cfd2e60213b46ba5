"""A decoder's rows on one NPU: costed in advance as tables, or priced anew in every iteration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layerweaver.scheduler.iterations.energy import EnergyRates
from layerweaver.scheduler.iterations.pricer import RowPricer

__all__ = ["CostedRows", "IterationCosts", "PricedCosts"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CostedRows:
    """What is known of a decoder's rows on one NPU, however an iteration is priced.

    Attributes:
        layer_names: Name of every row.
        row_index: Distinct row of every row.
        distinct: Number of distinct rows.
        settings: Numbers of the NPU, by name of ``state.Decoder``.
        parameter_bytes: All parameters.
        cache_bits: Bits of keys and values per cached token.
        notes: What was assumed.
        windows: Windows of its rows, 0 for none first.
        longest: As ``IterationRows.longest``.
        ends: As ``IterationRows.ends``.
        energy: What iterations take; None without an energy table, or where it cannot be told.
    """

    layer_names: tuple[str, ...]
    row_index: IntArray
    distinct: int
    settings: dict[str, int]
    parameter_bytes: int
    cache_bits: int
    notes: tuple[str, ...]
    windows: tuple[int, ...]
    longest: int
    ends: bool
    energy: EnergyRates | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, weakref_slot=True)
class PricedCosts(CostedRows):
    """Rows that the NPU's cost model prices whenever an iteration is planned; every row is a distinct one.

    Attributes:
        pricer: Prices them.
    """

    pricer: RowPricer


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IterationCosts(CostedRows):
    """Rows whose costs compiled code counts.

    Attributes:
        by: Index into :data:`~layerweaver.scheduler.iterations.rows.BY`, shape (kinds x distinct,), as all
            arrays: rows by ``IterationRows.kinds``.
        window: Place of each row's among ``windows``.
        table: First entry of a row's cycles in ``cycles``, by tokens or sequences from 0 on.
        cycles: Tabulated cycles.
        attention: Groups, then m, n and k, each as (constant, per new token, per cached token), and steps,
            shape (kinds x distinct, 11).
        weight_bytes: Weights as they lie in the buffer.
        weight_traffic: Channel bytes of fetching them.
        weight_requests: Transfers of them.
        weight_chunks: Pieces in which they pass through the buffer.
        held: Weights that a product holds, for spills.
        ranges: First term of every range of :data:`RANGES`, and the end, shape (kinds x distinct, 10).
        terms: Scale and coefficients, shape (terms, 11): lane cycles times the denominator, or bits.
    """

    by: IntArray
    window: IntArray
    table: IntArray
    cycles: IntArray
    attention: IntArray
    weight_bytes: IntArray
    weight_traffic: IntArray
    weight_requests: IntArray
    weight_chunks: IntArray
    held: IntArray
    ranges: IntArray
    terms: IntArray
