"""Counts of a decoder as polynomials of (batch, seq, past), found by binding it at a dozen sizes.

Exact rational arithmetic; a polynomial counts only if it has whole coefficients and agrees at all sizes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from layerweaver.scheduler.iterations.rows import FEATURES, features

__all__ = ["ANY", "ANY_ALONE", "FAR", "ONE", "ONE_ALONE", "Family", "polynomial", "value_of"]


@dataclass(frozen=True, slots=True)
class Way:
    """Which terms a count may be made of, and by which sizes their coefficients are found.

    Attributes:
        terms: Places among :func:`~layerweaver.scheduler.iterations.rows.features`.
        probes: Places of as many sizes.
    """

    terms: tuple[int, ...]
    probes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """Sizes (batch, seq, past) at which a decoder is bound, and what its counts may be.

    Attributes:
        sizes: All of them; a count has to agree with its polynomial at every one.
        ways: Each count is the first of these that does.
    """

    sizes: tuple[tuple[int, int, int], ...]
    ways: tuple[Way, ...]

    @property
    def near(self) -> Family:
        """The same without a look at many cached tokens."""
        return Family(tuple((batch, seq, min(past, 21)) for batch, seq, past in self.sizes), self.ways)

    @property
    def holds_alone(self) -> bool:
        """Whether one sequence alone is among the sizes."""
        return any(sequences == 1 for sequences, _, _ in self.sizes)


FAR = 131_101
"""Cached tokens at which counts are checked, too: beyond the windows and positions of most decoders."""

_SHARED, _EACH = (0, 1, 2, 3, 4), (0, 5, 6, 7, 8, 9)
_SIZES = ((2, 2, 3), (2, 3, 7), (3, 2, 5), (3, 5, 2), (2, 7, 11), (5, 2, 13), (1, 9, FAR))
_FURTHER = ((3, 3, 3), (2, 4, 6), (4, 6, 9), (3, 7, 4))
_SEVERAL = (*(size for size in _SIZES if size[0] > 1), *_FURTHER, (5, 8, 17), (2, 9, FAR))
ANY = (
    Family(_SIZES, (Way(_SHARED, (0, 1, 2, 3, 4)), Way(_EACH, (0, 1, 2, 3, 4, 5)))),
    Family((*_SIZES, *_FURTHER), (Way(tuple(range(FEATURES)), (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)),)),
    Family(_SEVERAL, (Way(tuple(range(FEATURES)), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),)),
)
"""What all sequences share, and what each of them adds, are tried alone first: that takes fewer sizes. With
one sequence alone, transposes may fall away: what holds for several of them only is tried last."""

ONE = (
    Family(((2, 1, 3), (3, 1, 5), (2, 1, 7), (1, 1, FAR)), (Way((0, 2), (0, 1)), Way((0, 5, 7), (0, 1, 2)))),
    Family(((2, 1, 3), (3, 1, 5), (2, 1, 7), (3, 1, 8), (1, 1, FAR)), (Way((0, 2, 5, 7), (0, 1, 2, 3)),)),
    Family(((2, 1, 3), (3, 1, 5), (2, 1, 7), (3, 1, 8), (5, 1, FAR)), (Way((0, 2, 5, 7), (0, 1, 2, 3)),)),
)
"""The same for one new token a sequence, where transposes and masks may fall away."""

ANY_ALONE = Family(
    ((1, 2, 3), (1, 3, 7), (1, 2, 5), (1, 5, 2), (1, 7, 11), (1, 4, 13), (1, 9, FAR)),
    (Way(_SHARED, (0, 1, 2, 3, 4)),),
)
ONE_ALONE = Family(((1, 1, 3), (1, 1, 17), (1, 1, FAR)), (Way((0, 2), (0, 1)),))
"""What is alive with one sequence alone, where other layers hold for several of them only."""


def value_of(coefficients: Sequence[int], terms: Sequence[int]) -> int:
    """A polynomial at the values of its terms."""
    return sum(one * term for one, term in zip(coefficients, terms, strict=True) if one)


@functools.cache
def _solver(family: Family, way: Way) -> list[list[Fraction]]:
    """The inverse of the matrix of terms at the probes."""
    size = len(way.terms)
    at = [features(*family.sizes[probe]) for probe in way.probes]
    rows = [
        [Fraction(values[place]) for place in way.terms] + [Fraction(int(row == at)) for at in range(size)]
        for row, values in enumerate(at)
    ]
    for column in range(size):
        pivot = next(row for row in range(column, size) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for row in range(size):
            if row != column and rows[row][column]:
                factor = rows[row][column]
                rows[row] = [one - factor * two for one, two in zip(rows[row], rows[column], strict=True)]
    return [row[size:] for row in rows]


@functools.lru_cache(maxsize=100_000)
def polynomial(family: Family, seen: tuple[int, ...]) -> tuple[int, ...] | None:
    """Whole coefficients of the first way that agrees with a count at all sizes."""
    for way in family.ways:
        whole = [0] * FEATURES
        known = [seen[probe] for probe in way.probes]
        for place, row in zip(way.terms, _solver(family, way), strict=True):
            value = sum((one * count for one, count in zip(row, known, strict=True)), Fraction(0))
            if value.denominator != 1:
                break
            whole[place] = int(value)
        else:
            if all(
                value_of(whole, features(*size)) == count
                for size, count in zip(family.sizes, seen, strict=True)
            ):
                return tuple(whole)
    return None
