"""From an ONNX decoder to the rows of an iteration: bound at a dozen sizes, fitted, checked at further ones.

A decoder has the symbolic dimensions ``batch``, ``seq`` (new tokens) and ``past`` (cached ones).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.depths import layers_abreast
from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import LayerGraph, ModelError
from layerweaver.scheduler.compile.contexts import Alone, check_windows, found_alone, with_longest
from layerweaver.scheduler.compile.decoder_inputs import NEEDED, NoDecoderError, decoder_inputs
from layerweaver.scheduler.compile.fitted import Fitted, Size, fitted, refusal
from layerweaver.scheduler.compile.joined import Joined, joined_terms
from layerweaver.scheduler.compile.kept_graphs import keep, kept
from layerweaver.scheduler.compile.layer_counts import LayerCounts
from layerweaver.scheduler.compile.polynomials import ANY, ANY_ALONE, ONE, ONE_ALONE
from layerweaver.scheduler.compile.position_tables import within_tables
from layerweaver.scheduler.compile.sources import ModelSource
from layerweaver.scheduler.iterations.rows import (
    CATEGORIES,
    FEATURES,
    NOTHING,
    AttentionRow,
    IterationRow,
    IterationRows,
    RowLabel,
    Term,
)

__all__ = ["iteration_rows"]

IntArray = NDArray[np.int64]


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
    source, inputs = str(model.ref), decoder_inputs(model.declared, dims)

    @functools.cache
    def bound(size: Size) -> LayerGraph:
        return model.imported_anew(inputs.bound(*size)).graph

    @functools.cache
    def whole(size: Size) -> LayerGraph:
        return model.imported_anew(replace(inputs.bound(*size), windows=False)).graph

    first = bound(ANY[0].sizes[0])
    if not any(layer.state_reads for layer in first.layers):
        raise NoDecoderError(
            "has no cache of keys and values that grows with past",
            where=source,
            accepted=NEEDED,
        )
    fit = whole if any(layer.window for layer in first.layers) else bound
    windowed = frozenset(tensor.name for layer in first.layers if layer.window for tensor in layer.outputs)
    (every, family), (one, single) = (fitted(fit, families, source, windowed) for families in (ANY, ONE))
    alone = (
        found_alone(fit, every, family, ANY_ALONE, source),
        found_alone(fit, one, single, ONE_ALONE, source),
    )
    if fit is whole:
        check_windows(bound, first, (every, one), source)
    rows = _assembled((first, bound(ONE[0].sizes[0])), every, one, alone)
    rows = with_longest(rows, fit, ((every, family), (one, single)))
    return within_tables(rows, model.declared)


def _assembled(
    graphs: tuple[LayerGraph, LayerGraph],
    every: Fitted,
    one: Fitted,
    alone: tuple[Alone | None, Alone | None],
) -> IterationRows:
    """The rows, by a graph for any new tokens and one for a single one, each with what differs alone."""
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
        raise refusal(graph.name, graph.layers[0], "has other layers for one new token")
    single = _rows(graphs[1], one)
    notes = [*graph.warnings]
    head = max((at for at, row in enumerate(rows) if row.by in ("tokens", "sequences")), default=-1)
    if head >= 0 and rows[head].by == "tokens" and rows[head].leaving:
        rows[head] = _by_sequence(rows[head])
        notes.append(
            f"{graph.layers[head].name} makes logits of every position; iterations count one a sequence"
        )
    kinds = [rows, single]
    if alone != (None, None):
        kinds += [_alone(rows, alone[0]), _alone(single, alone[1])]
    distinct: dict[tuple[IterationRow, ...], int] = {}
    places = [distinct.setdefault(same, len(distinct)) for same in zip(*kinds, strict=True)]
    bits: dict[int, int] = {}
    for tensor in graph.parameter_tensors():
        bits[tensor.dtype.bits] = bits.get(tensor.dtype.bits, 0) + tensor.elements
    cached = sum(term.coefficients[5 + 2] for row in rows for term in row.reads)
    return IterationRows(
        name=graph.name,
        layer_names=tuple(layer.name for layer in graph.layers),
        distinct=tuple(distinct),
        row_index=np.array(places, np.int64),
        parameter_bits=tuple((elements, width) for width, elements in sorted(bits.items())),
        cache_elements=cached,
        notes=tuple(notes),
        labels=_labels(*graphs),
    )


def _labels(graph: LayerGraph, single: LayerGraph) -> tuple[RowLabel, ...]:
    labels = []
    abreast = zip(layers_abreast(graph).tolist(), layers_abreast(single).tolist(), strict=True)
    for layer, one, beside in zip(graph.layers, single.layers, abreast, strict=True):
        works, of_single = (tuple(work.operator for work in each.vector) for each in (layer, one))
        labels.append(
            RowLabel(layer.kind, layer.role, works, of_single, layer.operators, one.operators, *beside)
        )
    return tuple(labels)


def _rows(graph: LayerGraph, found: Fitted) -> list[IterationRow]:
    layers, polynomials = found
    joined = joined_terms(graph, layers, polynomials)
    return [
        _row(graph, index, layer, polynomials[index], joined[index]) for index, layer in enumerate(layers)
    ]


def _alone(rows: Sequence[IterationRow], found: Alone | None) -> list[IterationRow]:
    """The rows for one sequence alone."""
    if found is None:
        return [*rows]
    return [
        NOTHING
        if one is None
        else replace(
            row,
            live=(Term(one[0], 0), Term(one[1], 0)),
            vector=tuple(
                work if there else Term((0,) * FEATURES, work.unit)
                for work, there in zip(row.vector, one[2], strict=True)
            ),
        )
        for row, one in zip(rows, found, strict=True)
    ]


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
    live, seen = ((Term(next(polynomials), 0), Term(next(polynomials), 0)) for _ in range(2))
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
        window=graph.layers[index].window,
        seen=seen if graph.layers[index].window else None,
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
    raise refusal(
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
