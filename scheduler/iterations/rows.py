"""The rows of an iteration as polynomials of its members: what any NPU's costs are computed from.

Every count of a decoder (extents, operands of the vector unit, elements of tensors) is a polynomial in the
number of sequences, their new tokens and their cached tokens, of degree 1 in sequences and cached tokens and
2 in new ones. Over sequences that differ, the part that grows with their number is summed, and the part that
does not (a mask that all share) is taken at the longest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir import LayerKind, VectorCategory
from layerweaver.ir.limits import MAX_QUANTITY

__all__ = [
    "BY",
    "CATEGORIES",
    "FEATURES",
    "NOTHING",
    "SEEN",
    "AttentionRow",
    "IterationRow",
    "IterationRows",
    "RowLabel",
    "Term",
    "check_row",
    "features",
    "looked_at",
    "single_row",
]

IntArray = NDArray[np.int64]

FEATURES = 10
"""Terms of a polynomial: 1, q, p, q p, q^2 and the same times the number of sequences."""

SEEN = FEATURES + 1
"""Their values, and the cached tokens that are read, by whole blocks: one set for each window."""

BY = ("", "tokens", "sequences", "nothing", "attention")
"""What the array's cycles of a row grow with."""

CATEGORIES = tuple(VectorCategory)
"""Units of the vector terms, in the order of their index."""


def features(batch: int, seq: int, past: int) -> list[int]:
    """Values of the terms for equal sequences."""
    alone = [1, seq, past, seq * past, seq * seq]
    return alone + [batch * value for value in alone]


def looked_at(seq: int, past: int, window: int) -> int:
    """Cached tokens that stand for ``past`` in the polynomials of a row with a window.

    Any of its counts is one of ``seq`` and of the tokens looked at, ``min(seq + past, window)``; with more
    new tokens than the window this is negative.
    """
    return min(past, window - seq) if window else past


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
        by: One of :data:`BY`: "" for no work of the array, "sequences" for those that emit.
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
        joined: Elements of concatenations that are written in place, for a host that joins them: the most
            over tensors of the least of each tensor's terms; None where that is not known.
        window: Tokens that its attention looks at, at most, see :func:`looked_at`; 0 for all.
        seen: As ``live``, besides it, of activations that grow with the tokens in the window.
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
    joined: tuple[tuple[Term, ...], ...] | None = None
    window: int = 0
    seen: tuple[Term, Term] | None = None


_NONE = Term((0,) * FEATURES, 0)
NOTHING = IterationRow(
    "", 0, 0, 0, 0, 0, None, (), (), (), (), (), (), (), (), (), live=(_NONE, _NONE), joined=()
)
"""A row that costs nothing."""


def single_row(row: IterationRow, single: IterationRow) -> IterationRow:
    """A row for one new token a sequence: what grows with sequences there may grow with tokens in general."""
    return replace(single, by=row.by) if row.by == "tokens" and single.by == "sequences" else single


@dataclass(frozen=True, slots=True)
class RowLabel:
    """What a cost model may ask of a layer besides its counts.

    Attributes:
        kind: Which unit of an NPU it mainly uses.
        role: Its part in attention; "" for none.
        operators: What its vector terms come from, for any members.
        single_operators: The same for one new token of every member.
        listed: All its operators, those without work of their own included; empty where a profile of an older
            version does not tell them.
        single_listed: The same for one new token of every member.
        abreast: Layers that wait for no other of them, itself included: they may share an overhead.
        single_abreast: The same for one new token of every member.
    """

    kind: LayerKind
    role: str
    operators: tuple[str, ...]
    single_operators: tuple[str, ...]
    listed: tuple[str, ...] = ()
    single_listed: tuple[str, ...] = ()
    abreast: int = 1
    single_abreast: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class IterationRows:
    """A decoder as rows of an iteration.

    Attributes:
        name: Name of the graph.
        layer_names: Name of every row.
        distinct: Rows that differ in cost, each for any members and for one new token of every member; where
            these are others for one member alone, both for that as well.
        row_index: Index into ``distinct`` of every row.
        parameter_bits: Elements of all parameters by bits per element.
        cache_elements: Elements of keys and values that one token adds to the cache.
        notes: What was assumed.
        labels: What else there is to say of every row.
        longest: Most tokens of a context for which its counts hold; 0 for no limit that was found.
        ends: Whether its graph cannot be bound to longer ones, such as by a table of positions.
    """

    name: str
    layer_names: tuple[str, ...]
    distinct: tuple[tuple[IterationRow, ...], ...]
    row_index: IntArray
    parameter_bits: tuple[tuple[int, int], ...]
    cache_elements: int
    notes: tuple[str, ...] = ()
    labels: tuple[RowLabel, ...] = ()
    longest: int = 0
    ends: bool = False

    @property
    def kinds(self) -> list[list[IterationRow]]:
        """The distinct rows by kinds of iterations, as they are told of."""
        kinds = [list(kind) for kind in zip(*self.distinct, strict=True)]
        for single in range(1, len(kinds), 2):
            kinds[single] = [*map(single_row, kinds[single - 1], kinds[single])]
        return kinds

    @property
    def windows(self) -> tuple[int, ...]:
        """All windows of rows, 0 for none first."""
        return tuple(sorted({0, *(row.window for pair in self.distinct for row in pair)}))


def check_row(row: IterationRow) -> None:
    """Check a row that comes from a file.

    Raises:
        ValueError: If a number is out of range.
    """
    vectors = {term.unit for term in row.vector}
    tensors = (row.gathers, row.reads, row.writes, row.inputs, row.outputs, row.entering, row.leaving)
    moved = [term for group in tensors for term in group]
    numbers = [row.n, row.k, row.m, row.groups, row.steps, row.window]
    for elements, width in row.weights:
        numbers += [elements, width]
    if row.attention is not None:
        numbers += [row.attention.groups, *row.attention.m, *row.attention.n, *row.attention.k]
    if row.by not in BY or (row.attention is None) == (row.by == "attention"):
        raise ValueError("a row that grows with nothing known")
    if not all(0 <= number <= MAX_QUANTITY for number in numbers):
        raise ValueError("extents outside 0..2^45")
    if not vectors <= {*range(len(CATEGORIES))} or not all(1 <= term.unit <= 64 for term in moved):
        raise ValueError("terms of no known unit")
    joined = row.joined or ()
    if not all(joined):
        raise ValueError("a concatenation of nothing")
    if (row.seen is None) == (row.window > 0):
        raise ValueError("a window without what is alive in it")
    for term in (
        *row.vector,
        *moved,
        *row.live,
        *(row.seen or ()),
        *(term for one in joined for term in one),
    ):
        if len(term.coefficients) != FEATURES or max(map(abs, term.coefficients)) > MAX_QUANTITY:
            raise ValueError("coefficients that are none")
