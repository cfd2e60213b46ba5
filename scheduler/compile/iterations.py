"""From an ONNX decoder to the rows of an iteration: bound at a dozen sizes, fitted, checked at further ones.

A decoder has the symbolic dimensions ``batch``, ``seq`` (new tokens) and ``past`` (cached ones).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import Layer, LayerGraph, ModelError, TensorSpec
from layerweaver.scheduler.compile.decoder_inputs import NEEDED, decoder_inputs
from layerweaver.scheduler.compile.joined import Joined, joined_terms
from layerweaver.scheduler.compile.kept_graphs import keep, kept
from layerweaver.scheduler.compile.layer_counts import LayerCounts, layer_counts
from layerweaver.scheduler.compile.polynomials import ANY, ONE, Family, polynomial, value_of
from layerweaver.scheduler.compile.sources import ModelSource
from layerweaver.scheduler.iterations.rows import (
    CATEGORIES,
    FEATURES,
    AttentionRow,
    IterationRow,
    IterationRows,
    RowLabel,
    Term,
    features,
)

__all__ = ["iteration_rows"]

IntArray = NDArray[np.int64]

_ROUTED = ("MoE", "QMoE", "MoEPacked")


def iteration_rows(source: str | Path, dims: Mapping[str, int]) -> IterationRows:
    """The rows of a decoder's iteration.

    Args:
        source: Path of an ONNX file, or ``zoo:NAME``.
        dims: Further symbolic dimensions.

    Raises:
        ModelError: If the model has other dimensions, or they are bound, or a layer's counts are no such
            polynomials.
    """
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

    first = bound(ANY[0].sizes[0])
    if not any(layer.state_reads for layer in first.layers):
        raise ModelError(
            "has no cache of keys and values that grows with past",
            where=str(source),
            accepted=NEEDED,
        )
    (every, family), (one, single) = _fitted(bound, ANY, source), _fitted(bound, ONE, source)
    notes = [*inputs.notes]
    if not (family.holds_alone and single.holds_alone):
        notes.append("has other layers for one sequence alone; iterations count those for several")
    return _assembled((first, bound(ONE[0].sizes[0])), every, one, notes)


Bound = Callable[[tuple[int, int, int]], LayerGraph]
Fitted = tuple[list[LayerCounts], list[list[tuple[int, ...]]]]


def _fitted(bound: Bound, families: Sequence[Family], source: str | Path) -> tuple[Fitted, Family]:
    """Every layer's structure and polynomials, by the first family that holds."""
    for family in families[:-1]:
        try:
            return _fit_family(bound, family, source), family
        except ModelError:
            continue
    return _fit_family(bound, families[-1], source), families[-1]


def _fit_family(bound: Bound, family: Family, source: str | Path) -> Fitted:
    graphs = [bound(size) for size in family.sizes]
    layers = [layer_counts(graph) for graph in graphs]
    fitted = []
    for index, layer in enumerate(graphs[0].layers):
        seen = [probe[index] for probe in layers if index < len(probe)]
        if len(seen) < len(layers) or any(other.structure != seen[0].structure for other in seen):
            raise _refusal(source, layer, "changes its structure with the sizes")
        columns = zip(*(other.counts for other in seen), strict=True)
        fitted.append([_fit(family, column, source, layer) for column in columns])
    live = _live(graphs[0], layers[0], fitted)
    for size, probe in zip(family.sizes, layers, strict=True):
        terms = features(*size)
        for index, layer in enumerate(graphs[0].layers):
            if tuple(value_of(coefficients, terms) for coefficients in live[index]) != probe[index].live:
                raise _refusal(source, layer, "keeps other activations alive with other sizes")
    return layers[0], [[*counts, *alive] for counts, alive in zip(fitted, live, strict=True)]


def _live(
    graph: LayerGraph, layers: Sequence[LayerCounts], fitted: Sequence[Sequence[tuple[int, ...]]]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Polynomials of the live activations: the sums of those of the tensors alive, layer by layer."""
    tensors = {
        name: polynomials[place]
        for layer, polynomials in zip(layers, fitted, strict=True)
        for name, place in layer.moved
    }

    def summed(place: int, *, bits: bool) -> IntArray:
        def size(tensor: TensorSpec) -> int:
            known = tensors.get(tensor.name)
            return 0 if known is None else known[place] * (tensor.dtype.bits if bits else 1)

        return graph.live_bytes(size)

    by_bits, by_elements = (
        np.array([summed(place, bits=bits) for place in range(FEATURES)]).T.tolist() for bits in (True, False)
    )
    return [(tuple(one), tuple(other)) for one, other in zip(by_bits, by_elements, strict=True)]


def _refusal(source: str | Path, layer: Layer, what: str) -> ModelError:
    accepted = "counts of degree 1 in batch and past and 2 in seq"
    if any(operator in _ROUTED for operator in layer.operators):
        what, accepted = "routes its tokens to experts, which are not counted", "a decoder without them"
    return ModelError(what, where=f"{source}, layer {layer.name}", accepted=accepted)


def _fit(family: Family, seen: tuple[int, ...], source: str | Path, layer: Layer) -> tuple[int, ...]:
    """Whole coefficients of a count's polynomial."""
    known = polynomial(family, seen)
    if known is None:
        raise _refusal(source, layer, "has extents that are no polynomial of batch, seq and past")
    return known


def _assembled(
    graphs: tuple[LayerGraph, LayerGraph], every: Fitted, one: Fitted, notes: Sequence[str]
) -> IterationRows:
    """The rows, by a graph for any new tokens and one for a single one."""
    graph = graphs[0]
    if graph.lacking:
        # How to mend it is said for models of fixed cost; shapes of values are none of an iteration's.
        lacking, _, _ = graph.lacking[0].partition("; give --")
        raise ModelError(
            f"work is missing from its totals: {lacking}",
            where=graph.name,
            accepted="a decoder whose work does not depend on data; routed experts are not counted",
        )
    rows = _rows(graph, every)
    if len(one[0]) != len(rows):
        raise _refusal(graph.name, graph.layers[0], "has other layers for one new token")
    single = _rows(graphs[1], one)
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
        labels=tuple(itertools.starmap(_label, zip(*(graph.layers for graph in graphs), strict=True))),
    )


def _label(layer: Layer, single: Layer) -> RowLabel:
    operators, of_single = (tuple(work.operator for work in one.vector) for one in (layer, single))
    return RowLabel(layer.kind, layer.role, operators, of_single, layer.operators, single.operators)


def _rows(graph: LayerGraph, found: Fitted) -> list[IterationRow]:
    layers, fitted = found
    joined = joined_terms(graph, layers, fitted)
    return [_row(graph, index, layer, fitted[index], joined[index]) for index, layer in enumerate(layers)]


def _row(
    graph: LayerGraph, index: int, layer: LayerCounts, fitted: list[tuple[int, ...]], joined: Joined
) -> IterationRow:
    work = graph.layers[index].matrix
    _, _, _, vector, tensors, weights, _ = layer.structure
    polynomials = iter(fitted)
    extents = [next(polynomials) for _ in range(5)]
    categories = [category for category, *_ in vector]  # type: ignore[attr-defined]
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
        joined=joined,
    )


def _only(polynomial: tuple[int, ...], *places: int) -> bool:
    """Whether a polynomial has no other terms."""
    return all(not value for place, value in enumerate(polynomial) if place not in places)


def _extents(
    graph: LayerGraph, index: int, extents: list[tuple[int, ...]], *, weighted: bool
) -> tuple[str, list[int], AttentionRow | None]:
    """What the products of a layer grow with, their numbers, and those of two activations."""
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
    raise _refusal(
        graph.name,
        graph.layers[index],
        "has products that are neither of tokens with weights nor of attention",
    )


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
        joined=tuple(moved(readers) for readers in row.joined or ()),
    )
