"""From an ONNX decoder to the rows of an iteration: bound at a dozen sizes, fitted, checked at further ones.

A decoder has the symbolic dimensions ``batch``, ``seq`` (new tokens) and ``past`` (cached ones).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import LayerGraph, ModelError, TensorSpec
from layerweaver.scheduler.compile.decoder_inputs import NEEDED, decoder_inputs
from layerweaver.scheduler.compile.kept_graphs import keep, kept
from layerweaver.scheduler.compile.sources import ModelSource
from layerweaver.scheduler.iterations.rows import (
    CATEGORIES,
    FEATURES,
    AttentionRow,
    IterationRow,
    IterationRows,
    Term,
    features,
)

__all__ = ["iteration_rows"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Family:
    """Which terms are fitted at which sizes (batch, seq, past), and where the fit is checked.

    Attributes:
        terms: Places among :func:`~layerweaver.scheduler.iterations.rows.features`.
        probes: One size per term.
        checks: Further sizes.
    """

    terms: tuple[int, ...]
    probes: tuple[tuple[int, int, int], ...]
    checks: tuple[tuple[int, int, int], ...]


_BY_SEQUENCE = ((2, 2, 3), (2, 3, 7), (3, 2, 5), (3, 5, 2), (2, 7, 11), (5, 2, 13))
_ANY = (
    _Family((0, 5, 6, 7, 8, 9), _BY_SEQUENCE, ((1, 9, 21),)),
    _Family(
        tuple(range(FEATURES)), (*_BY_SEQUENCE, (3, 3, 3), (2, 4, 6), (4, 6, 9), (3, 7, 4)), ((1, 9, 21),)
    ),
)
"""What grows with the number of sequences alone is tried first: it takes fewer sizes."""

_ONE = (
    _Family((0, 5, 7), ((2, 1, 3), (3, 1, 5), (2, 1, 7)), ((1, 1, 17),)),
    _Family((0, 2, 5, 7), ((2, 1, 3), (3, 1, 5), (2, 1, 7), (3, 1, 8)), ((1, 1, 17),)),
)
"""The same for one new token a sequence, where transposes and masks may fall away."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """All counts of one layer, as a vector whose structure does not change with sizes."""

    structure: tuple[object, ...]
    counts: tuple[int, ...]


def iteration_rows(source: str | Path, dims: Mapping[str, int]) -> IterationRows:
    """The rows of a decoder's iteration.

    Args:
        source: Path of an ONNX file, or ``zoo:NAME``.
        dims: Further symbolic dimensions.

    Raises:
        ModelError: If the model has other dimensions, or a layer's counts are no such polynomials.
    """
    for name in ("batch", "seq", "past"):
        if name in dims:
            raise ModelError(
                f"dimension {name!r} is bound",
                where=str(source),
                accepted="leave batch, seq and past to iterations",
            )
    model = ModelSource(source)
    entry = model.kept_name(ImportOptions(dims=dims), "iterations of ")
    found = kept(entry, IterationRows) if entry else None
    if found is None:
        found = _probed(model, dims)
        if entry:
            keep(entry, found)
    return found


def _probed(model: ModelSource, dims: Mapping[str, int]) -> IterationRows:
    source, inputs = model.ref, decoder_inputs(model.declared, dims)
    graphs: dict[tuple[int, int, int], LayerGraph] = {}

    def bound(size: tuple[int, int, int]) -> LayerGraph:
        if size not in graphs:
            graphs[size] = model.imported_anew(inputs.bound(*size)).graph
        return graphs[size]

    first = bound(_BY_SEQUENCE[0])
    if not any(layer.state_reads for layer in first.layers):
        raise ModelError(
            "has no cache of keys and values that grows with past",
            where=str(source),
            accepted=NEEDED,
        )
    every, one = _fitted(bound, _ANY, source), _fitted(bound, _ONE, source)
    return _assembled(first, every, one, inputs.notes)


Bound = Callable[[tuple[int, int, int]], LayerGraph]
Fitted = tuple[list[_Layer], list[list[tuple[int, ...]]]]


def _fitted(bound: Bound, families: Sequence[_Family], source: str | Path) -> Fitted:
    """Every layer's structure and polynomials, by the first family that holds."""
    for family in families[:-1]:
        try:
            return _fit_family(bound, family, source)
        except ModelError:
            continue
    return _fit_family(bound, families[-1], source)


def _fit_family(bound: Bound, family: _Family, source: str | Path) -> Fitted:
    solve = _solver(family)
    graphs = [bound(size) for size in family.probes]
    layers = [_layers(graph) for graph in graphs]
    fitted = []
    for index, layer in enumerate(graphs[0].layers):
        seen = [probe[index] if index < len(probe) else None for probe in layers]
        if any(other is None or other.structure != layers[0][index].structure for other in seen):
            raise _refusal(source, layer.name, "changes its structure with the sizes")
        values = np.array([other.counts for other in seen if other is not None], dtype=object)
        fitted.append([_fit(solve, family, column, source, layer.name) for column in values.T])
    for size in family.checks:
        _verify(bound(size), size, layers[0], fitted, source)
    return layers[0], fitted


def _refusal(source: str | Path, layer: str, what: str) -> ModelError:
    return ModelError(
        what, where=f"{source}, layer {layer}", accepted="counts of degree 1 in batch and past and 2 in seq"
    )


def _solver(family: _Family) -> list[list[Fraction]]:
    """The inverse of the matrix of terms at the probes."""
    size = len(family.terms)
    rows = [
        [Fraction(features(*probe)[place]) for place in family.terms]
        + [Fraction(int(row == at)) for at in range(size)]
        for row, probe in enumerate(family.probes)
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


_KNOWN: dict[tuple[_Family, tuple[int, ...]], tuple[int, ...] | None] = {}


def _fit(
    solve: list[list[Fraction]], family: _Family, values: Sequence[int], source: str | Path, layer: str
) -> tuple[int, ...]:
    """Whole coefficients of the polynomial through the values at the probes."""
    seen = tuple(int(value) for value in values)
    if (family, seen) not in _KNOWN:
        products = [zip(row, seen, strict=True) for row in solve]
        found = [sum((one * value for one, value in pairs), Fraction(0)) for pairs in products]
        whole = [0] * FEATURES
        for place, value in zip(family.terms, found, strict=True):
            whole[place] = int(value)
        if len(_KNOWN) > 100_000:
            _KNOWN.clear()
        exact = all(value.denominator == 1 for value in found)
        _KNOWN[family, seen] = tuple(whole) if exact else None
    known = _KNOWN[family, seen]
    if known is None:
        raise _refusal(source, layer, "has extents that are no polynomial of batch, seq and past")
    return known


def _verify(
    graph: LayerGraph,
    size: tuple[int, int, int],
    shown: list[_Layer],
    fitted: list[list[tuple[int, ...]]],
    source: str | Path,
) -> None:
    terms = features(*size)
    found = _layers(graph)
    for index, layer in enumerate(graph.layers):
        if index >= len(shown) or found[index].structure != shown[index].structure:
            raise _refusal(source, layer.name, f"changes its structure at batch, seq, past = {size}")
        pairs = [zip(polynomial, terms, strict=True) for polynomial in fitted[index]]
        expected = tuple(sum(one * term for one, term in values) for values in pairs)
        if expected != found[index].counts:
            raise _refusal(source, layer.name, f"departs from its polynomials at batch, seq, past = {size}")


def _layers(graph: LayerGraph) -> list[_Layer]:
    entering = {tensor.name for tensor in graph.inputs}
    leaving = {tensor.name for tensor in graph.outputs}
    live = graph.live_bytes(lambda tensor: tensor.elements * tensor.dtype.bits)
    elements = graph.live_bytes(lambda tensor: tensor.elements)
    result = []
    for index, layer in enumerate(graph.layers):
        work = layer.matrix
        groups: list[tuple[TensorSpec, ...]] = [
            tuple(gather.rows for gather in layer.gathers),
            tuple(layer.state_reads),
            tuple(layer.state_writes),
            tuple(layer.inputs),
            tuple(layer.outputs),
            tuple(tensor for tensor in layer.inputs if tensor.name in entering),
            tuple(tensor for tensor in layer.outputs if tensor.name in leaving),
        ]
        weights = tuple((tensor.elements, tensor.dtype.bits) for tensor in layer.weights)
        structure = (
            layer.kind,
            layer.role,
            work is not None and (work.weights, work.conv is None),
            tuple((vector.category, vector.window) for vector in layer.vector),
            tuple(tuple(tensor.dtype.bits for tensor in group) for group in groups),
            weights,
        )
        extents = (0,) * 5 if work is None else (work.groups, work.m, work.n, work.k, work.steps)
        counts = (
            *extents,
            *(vector.elements * vector.window for vector in layer.vector),
            *(tensor.elements for group in groups for tensor in group),
            int(live[index]),
            int(elements[index]),
        )
        result.append(_Layer(structure, counts))
    return result


def _assembled(graph: LayerGraph, every: Fitted, one: Fitted, notes: Sequence[str]) -> IterationRows:
    if graph.lacking:
        raise ModelError(f"work is missing from its totals: {graph.lacking[0]}", where=graph.name)
    rows = [_row(graph, index, layer, every[1][index]) for index, layer in enumerate(every[0])]
    if len(one[0]) != len(rows):
        raise _refusal(graph.name, graph.layers[0].name, "has other layers for one new token")
    single = [_row(graph, index, layer, one[1][index]) for index, layer in enumerate(one[0])]
    notes = [*graph.warnings, *notes]
    head = max((at for at, row in enumerate(rows) if row.by in ("tokens", "sequences")), default=-1)
    if head >= 0 and rows[head].by == "tokens" and rows[head].leaving:
        rows[head] = _by_sequence(rows[head])
        notes.append(
            f"{graph.layers[head].name} makes logits of every position; iterations count one a sequence"
        )
    distinct: dict[tuple[IterationRow, IterationRow], int] = {}
    places = [distinct.setdefault(pair, len(distinct)) for pair in zip(rows, single, strict=True)]
    bits: dict[int, int] = {}
    tables: set[str] = set()
    for layer in graph.layers:
        for tensor in layer.weights:
            bits[tensor.dtype.bits] = bits.get(tensor.dtype.bits, 0) + tensor.elements
        for gather in layer.gathers:
            if gather.table.name not in tables:
                tables.add(gather.table.name)
                bits[gather.table.dtype.bits] = bits.get(gather.table.dtype.bits, 0) + gather.table.elements
    cached = sum(term.coefficients[5 + 2] for row in rows for term in row.reads)
    return IterationRows(
        name=graph.name,
        layer_names=tuple(layer.name for layer in graph.layers),
        distinct=tuple(distinct),
        row_index=np.array(places, np.int64),
        parameter_bits=tuple((elements, width) for width, elements in sorted(bits.items())),
        cache_elements=cached,
        notes=tuple(notes),
    )


def _row(graph: LayerGraph, index: int, layer: _Layer, fitted: list[tuple[int, ...]]) -> IterationRow:
    work = graph.layers[index].matrix
    _, _, _, vector, tensors, weights = layer.structure
    polynomials = iter(fitted)
    extents = [next(polynomials) for _ in range(5)]
    categories = [category for category, _ in vector]  # type: ignore[attr-defined]
    works = tuple(Term(next(polynomials), CATEGORIES.index(category)) for category in categories)
    groups = [tuple(Term(next(polynomials), width) for width in group) for group in tensors]  # type: ignore[attr-defined]
    live = Term(next(polynomials), 0), Term(next(polynomials), 0)
    by, numbers, attention = _extents(graph, index, extents, weighted=work is not None and work.weights)
    return IterationRow(
        by=by,
        n=numbers[2],
        k=numbers[3],
        m=numbers[1],
        groups=numbers[0],
        steps=numbers[4],
        attention=attention,
        vector=works,
        gathers=groups[0],
        reads=groups[1],
        writes=groups[2],
        inputs=groups[3],
        outputs=groups[4],
        entering=groups[5],
        leaving=groups[6],
        weights=weights,  # type: ignore[arg-type]
        live=live,
    )


def _only(polynomial: tuple[int, ...], *places: int) -> bool:
    """Whether a polynomial has no other terms."""
    return all(not value for place, value in enumerate(polynomial) if place not in places)


def _extents(
    graph: LayerGraph, index: int, extents: list[tuple[int, ...]], *, weighted: bool
) -> tuple[str, list[int], AttentionRow | None]:
    """What the products of a layer grow with, their numbers, and those of two activations."""
    name = graph.layers[index].name
    if graph.layers[index].matrix is None:
        return "", [0] * 5, None
    groups, m, n, k, steps = extents
    constant = [polynomial[0] for polynomial in extents]
    if weighted and _only(groups, 0) and _only(n, 0) and _only(k, 0) and _only(steps, 0):
        for by, place in (("tokens", 6), ("sequences", 5), ("nothing", 0)):
            if _only(m, place):
                constant[1] = m[place]
                return by, constant, None
    if (
        not weighted
        and _only(groups, 5)
        and _only(steps, 0)
        and all(_only(one, 0, 1, 2) for one in (m, n, k))
    ):
        attention = AttentionRow(groups[5], m[:3], n[:3], k[:3])  # type: ignore[arg-type]
        return "attention", [0, 0, 0, 0, steps[0]], attention
    raise _refusal(graph.name, name, "has products that are neither of tokens with weights nor of attention")


def _by_sequence(row: IterationRow) -> IterationRow:
    """A head over all positions as one over the sequences that emit."""

    def moved(terms: tuple[Term, ...]) -> tuple[Term, ...]:
        changed = []
        for term in terms:
            values = list(term.coefficients)
            values[5], values[6] = values[5] + values[6], 0
            changed.append(Term(tuple(values), term.unit))
        return tuple(changed)

    return replace(
        row,
        by="sequences",
        vector=moved(row.vector),
        outputs=moved(row.outputs),
        leaving=moved(row.leaving),
    )
