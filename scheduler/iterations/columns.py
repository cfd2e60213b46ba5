"""An iteration's rows as the columns that cost models read, at any members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.columns import CLIPS, LayerColumns, TensorColumns, VectorColumns
from layerweaver.ir import Layer, LayerGraph, VectorWork
from layerweaver.scheduler.iterations.rows import (
    BY,
    CATEGORIES,
    FEATURES,
    IterationRow,
    RowLabel,
    Term,
)

__all__ = ["IterationColumns", "RowLayout"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class IterationColumns(LayerColumns):
    """Columns whose graph has names, kinds, roles and operators only; sizes are in the columns.

    Attributes:
        live: Bits of the live activations, by the model's own types and by elements, shape (2, layers).
    """

    live: IntArray

    def live_bytes(self, bits: int | None) -> IntArray:
        """Bytes of the activations alive while each layer runs."""
        whole: IntArray = -(-(self.live[0] if bits is None else self.live[1] * bits) // 8)
        return whole


@dataclass(frozen=True, slots=True, eq=False)
class TermColumns:
    """Terms of one kind of all rows, flat.

    Attributes:
        layer: Row of each, ascending.
        unit: As ``Term.unit``.
        coefficients: Shape (terms, FEATURES).
    """

    layer: IntArray
    unit: IntArray
    coefficients: IntArray

    @classmethod
    def collect(cls, rows: Sequence[IterationRow], select: Callable[[IterationRow], Iterable[Term]]) -> Self:
        """Collect ``select(row)`` over all rows."""
        found = [(index, term) for index, row in enumerate(rows) for term in select(row)]
        return cls(
            np.array([index for index, _ in found], np.int64),
            np.array([term.unit for _, term in found], np.int64),
            np.array([term.coefficients for _, term in found], np.int64).reshape(-1, FEATURES),
        )

    def counts(self, features: IntArray) -> IntArray:
        """The terms' values, for features by row, shape (rows, FEATURES)."""
        values: IntArray = (self.coefficients * features[self.layer]).sum(axis=1)
        return values

    def tensors(self, features: IntArray) -> TensorColumns:
        """Tensors of that many elements."""
        return TensorColumns(self.layer, self.counts(features), self.unit, len(features))

    def tiled(self, times: int, rows: int) -> TermColumns:
        """The terms of so many copies of the rows."""
        layer = (self.layer + rows * np.arange(times, dtype=np.int64)[:, None]).ravel()
        return TermColumns(layer, np.tile(self.unit, times), np.tile(self.coefficients, (times, 1)))


_NOTHING_ELSE = (0,) * (FEATURES - 1)
_TERMS: dict[str, Callable[[IterationRow], Iterable[Term]]] = {
    "vector": lambda row: row.vector,
    "gathers": lambda row: row.gathers,
    "reads": lambda row: row.reads,
    "writes": lambda row: row.writes,
    "state": lambda row: (*row.reads, *row.writes),
    "inputs": lambda row: row.inputs,
    "outputs": lambda row: row.outputs,
    "entering": lambda row: row.entering,
    "leaving": lambda row: row.leaving,
    "weights": lambda row: (Term((elements, *_NOTHING_ELSE), bits) for elements, bits in row.weights),
    "own_types": lambda row: row.live[:1],
    "by_elements": lambda row: row.live[1:],
    "own_types_seen": lambda row: (row.seen or ())[:1],
    "by_elements_seen": lambda row: (row.seen or ())[1:],
    "joined": lambda row: (term for readers in row.joined or () for term in readers),
}


class _Joins:
    """Concatenations in place of some rows.

    Args:
        rows: The rows.
    """

    def __init__(self, rows: Sequence[IterationRow]) -> None:
        lengths = [(index, len(readers)) for index, row in enumerate(rows) for readers in row.joined or ()]
        self._rows, self._row = len(rows), np.array([index for index, _ in lengths], np.int64)
        ends = np.cumsum([length for _, length in lengths], dtype=np.int64)
        self._first = ends - np.array([length for _, length in lengths], np.int64)

    def elements(self, counts: IntArray, copies: int) -> IntArray:
        """What they join of every row of so many copies, of the counts of all their terms."""
        joined = np.zeros((self._rows, copies), np.int64)
        if len(self._row):
            least = np.minimum.reduceat(counts.reshape(copies, -1).T, self._first)
            np.maximum.at(joined, self._row, least)
        return joined.T.ravel()


class RowLayout:
    """Some rows of an iteration, or copies of them, for any members or for one new token of each.

    Args:
        name: Name of the decoder.
        names: Name of every row.
        rows: The rows.
        labels: What else there is to say of them, operators as those of these rows.

    Attributes:
        by: Index into :data:`~layerweaver.scheduler.iterations.rows.BY` of every row.
        window: Its window; 0 for none.
    """

    def __init__(
        self, name: str, names: Sequence[str], rows: Sequence[IterationRow], labels: Sequence[RowLabel]
    ) -> None:
        self._rows, self._names, self._name, self._labels = tuple(rows), tuple(names), name, tuple(labels)
        self.by = np.array([BY.index(row.by) for row in rows], np.int64)
        self.window = np.array([row.window for row in rows], np.int64)
        self._extents = np.array(
            [[row.m, row.n, row.k, row.groups, row.steps] for row in rows], np.int64
        ).reshape(-1, 5)
        shapes = [row.attention for row in rows]
        self._attention = np.array(
            [
                (0,) * 10 if shape is None else (shape.groups, *shape.m, *shape.n, *shape.k)
                for shape in shapes
            ],
            np.int64,
        ).reshape(-1, 10)
        self._terms = {name: TermColumns.collect(rows, select) for name, select in _TERMS.items()}
        self._joins = _Joins(rows)
        self._is_scores = np.array([label.role == "attention-scores" for label in labels], np.bool_)
        self._is_context = np.array([label.role == "attention-context" for label in labels], np.bool_)
        self._clips = np.array(
            [operator in CLIPS for label in labels for operator in label.operators], np.bool_
        )
        self._abreast = np.array([label.abreast for label in labels], np.int64)
        self._graphs: dict[int, LayerGraph] = {}
        self._tiled: dict[int, dict[str, TermColumns]] = {1: self._terms}

    def __len__(self) -> int:
        return len(self._rows)

    def _graph(self, times: int) -> LayerGraph:
        """Names and what else is not in the columns, of so many copies."""
        if times in self._graphs:
            return self._graphs[times]
        layers = []
        for copy in range(times):
            for name, row, label in zip(self._names, self._rows, self._labels, strict=True):
                works = tuple(
                    VectorWork(operator, CATEGORIES[term.unit], 0)
                    for operator, term in zip(label.operators, row.vector, strict=True)
                )
                own = f"{name} ({copy})" if copy else name
                operators = label.listed or label.operators
                layers.append(Layer(own, label.kind, operators, vector=works, role=label.role))
        self._graphs[times] = LayerGraph(self._name, layers)
        return self._graphs[times]

    def _tiled_terms(self, times: int) -> dict[str, TermColumns]:
        if times not in self._tiled:
            self._tiled[times] = {name: terms.tiled(times, len(self)) for name, terms in self._terms.items()}
        return self._tiled[times]

    def terms(self, name: str) -> TermColumns:
        """Terms of one kind."""
        return self._terms[name]

    def most_extents(self, sizes: Sequence[float]) -> NDArray[np.float64]:
        """Largest product of all extents of each row, at sizes (members, new tokens, cached tokens)."""
        members, new, cached = sizes
        shape = self._attention.astype(np.float64)
        m, n, k = (shape[:, first : first + 3] @ np.array([1.0, new, cached]) for first in (1, 4, 7))
        of_members = shape[:, 0] * members * m * n * k
        of_weights = self._extents[:, :4].astype(np.float64).prod(axis=1) * max(1.0, new, members)
        most: NDArray[np.float64] = np.where(self.by == BY.index("attention"), of_members, of_weights)
        return most * self._extents[:, 4]

    def at(self, features: IntArray, pairs: IntArray, tokens: int, emitting: int) -> IterationColumns:
        """The columns of as many copies of the rows as there are pairs.

        Args:
            features: Values of the polynomials' terms for every row of every copy, shape (3, copies x rows,
                FEATURES): through its window, without, and of what is read of the cache.
            pairs: Members, new and cached tokens of one for the attention of each copy, shape (copies, 3).
            tokens: New tokens of all.
            emitting: Sequences that emit.
        """
        copies = len(pairs)
        terms, (seen, whole, cache) = self._tiled_terms(copies), features
        m, n, k, groups, steps = np.tile(self._extents, (copies, 1)).T
        by, shape = np.tile(self.by, copies), np.tile(self._attention, (copies, 1))
        members, new, cached = np.repeat(pairs, len(self), axis=0).T
        window = np.tile(self.window, copies)
        cached = np.where(window > 0, np.minimum(cached, window - new), cached)
        m = (
            m * np.array([0, tokens, emitting, 1, 0])[by]
            + shape[:, 1]
            + shape[:, 2] * new
            + shape[:, 3] * cached
        )
        n = n + shape[:, 4] + shape[:, 5] * new + shape[:, 6] * cached
        k = k + shape[:, 7] + shape[:, 8] * new + shape[:, 9] * cached
        one, no = np.ones_like(m), np.zeros(m.shape, np.bool_)
        vector = terms["vector"]
        live = np.array([terms[name].counts(whole) for name in ("own_types", "by_elements")])
        for place, name in enumerate(("own_types_seen", "by_elements_seen")):
            live[place, terms[name].layer] += terms[name].counts(seen)
        tensors = {name: terms[name].tensors(cache if name == "state" else seen) for name in _TENSORS}
        return IterationColumns(
            graph=self._graph(copies),
            matrix=by > 0,
            m=m,
            n=n,
            k=k,
            groups=groups + shape[:, 0] * members,
            steps=steps,
            kernel_area=one,
            kernel_rows=one,
            out_rows=one,
            out_columns=one,
            conv_reads=np.zeros_like(m),
            depthwise=no,
            weighted=(by > 0) & (by != BY.index("attention")),
            scores=np.tile(self._is_scores, copies),
            context=np.tile(self._is_context, copies),
            vector=VectorColumns(
                vector.layer,
                vector.unit,
                vector.counts(seen),
                np.tile(self._clips, copies),
                len(seen),
            ),
            abreast=np.tile(self._abreast, copies),
            joined=self._joins.elements(terms["joined"].counts(seen), copies),
            graph_inputs=terms["entering"].tensors(seen),
            graph_outputs=terms["leaving"].tensors(seen),
            live=live,
            **tensors,
        )


_TENSORS = ("inputs", "outputs", "weights", "gathers", "state")
