"""The rows of an iteration as polynomials of its members: what any NPU's costs are computed from.

Every count of a decoder (extents, operands of the vector unit, elements of tensors) is a polynomial in the
number of sequences, their new tokens and their cached tokens, of degree 1 in sequences and cached tokens and
2 in new ones. Over sequences that differ, the part that grows with their number is summed, and the part that
does not (a mask that all share) is taken at the longest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEATURES", "AttentionRow", "IterationRow", "IterationRows", "Term", "features"]

IntArray = NDArray[np.int64]

FEATURES = 10
"""Terms of a polynomial: 1, q, p, q p, q^2 and the same times the number of sequences."""


def features(batch: int, seq: int, past: int) -> list[int]:
    """Values of the terms for equal sequences."""
    alone = [1, seq, past, seq * past, seq * seq]
    return alone + [batch * value for value in alone]


@dataclass(frozen=True, slots=True)
class AttentionRow:
    """Products of two activations for one sequence; extents are (constant, per new token, per cached token).

    Attributes:
        groups: Products of one sequence.
        m: Rows of the streamed operand.
        n: Columns.
        k: Inner extent.
    """

    groups: int
    m: tuple[int, int, int]
    n: tuple[int, int, int]
    k: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Term:
    """A count that grows with the members.

    Attributes:
        coefficients: Of the polynomial, shape (FEATURES,).
        unit: Index of the vector unit's category, or bits of an element in the model's own type.
    """

    coefficients: tuple[int, ...]
    unit: int


@dataclass(frozen=True, slots=True)
class IterationRow:
    """One layer of a decoder.

    Attributes:
        by: What the array's work grows with: "" for none, "tokens", "sequences" (which emit), "nothing", or
            "attention".
        n: Columns of a product with weights.
        k: Its inner extent.
        m: Rows per token, per sequence or at all.
        groups: Its independent products.
        steps: Its sequential repetitions.
        attention: Products of two activations.
        vector: Operands of the vector unit.
        gathers: Rows looked up.
        reads: Cached keys and values that it reads.
        writes: Keys and values that it appends.
        inputs: Activations read.
        outputs: Activations written.
        entering: Of the inputs, those that enter the graph.
        leaving: Of the outputs, those that leave it.
        weights: Elements and bits of its weights.
        live: Bits of the live activations, for elements of the model's own types and by elements.
    """

    by: str
    n: int
    k: int
    m: int
    groups: int
    steps: int
    attention: AttentionRow | None
    vector: tuple[Term, ...]
    gathers: tuple[Term, ...]
    reads: tuple[Term, ...]
    writes: tuple[Term, ...]
    inputs: tuple[Term, ...]
    outputs: tuple[Term, ...]
    entering: tuple[Term, ...]
    leaving: tuple[Term, ...]
    weights: tuple[tuple[int, int], ...]
    live: tuple[Term, Term]


@dataclass(frozen=True, slots=True, eq=False)
class IterationRows:
    """A decoder as rows of an iteration.

    Attributes:
        name: Name of the graph.
        layer_names: Name of every row.
        distinct: Rows that differ in cost, each for any members and for one new token of every member.
        row_index: Index into ``distinct`` of every row.
        parameter_bits: Elements of all parameters by bits per element.
        cache_elements: Elements of keys and values that one token adds to the cache.
        notes: What was assumed.
    """

    name: str
    layer_names: tuple[str, ...]
    distinct: tuple[tuple[IterationRow, IterationRow], ...]
    row_index: IntArray
    parameter_bits: tuple[tuple[int, int], ...]
    cache_elements: int
    notes: tuple[str, ...] = ()
