"""Every layer of a decoder as polynomials of its members, fitted at some sizes and checked at others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir import Layer, LayerGraph, ModelError, TensorSpec
from layerweaver.scheduler.compile.layer_counts import LayerCounts, layer_counts
from layerweaver.scheduler.compile.polynomials import Family, polynomial, value_of
from layerweaver.scheduler.iterations.rows import FEATURES, features

__all__ = ["Bound", "Fitted", "Polynomial", "Size", "fitted", "refusal"]

IntArray = NDArray[np.int64]

Size = tuple[int, int, int]
"""Sequences, new tokens and cached tokens of each."""

Bound = Callable[[Size], LayerGraph]

Polynomial = tuple[int, ...]

Fitted = tuple[list[LayerCounts], list[list[Polynomial]]]
"""Every layer's structure, and the polynomials of its counts and of its live activations.

The latter in bits and in elements, first of what no window bounds and then of what one does."""

_ROUTED = ("MoE", "QMoE", "MoEPacked")


def fitted(
    bound: Bound, families: Sequence[Family], source: str | Path, windowed: frozenset[str]
) -> tuple[Fitted, Family]:
    """Every layer's structure and polynomials, by the first family that holds.

    Args:
        bound: The decoder at a size, without windows.
        families: What its counts may be; where all fail, these without a look at many cached tokens.
        source: What it was read from.
        windowed: Activations that windows bound.

    Raises:
        ModelError: With the layer for which none holds.
    """
    *others, last = (*families, *(family.near for family in families))
    for family in others:
        try:
            return _fit_family(bound, family, source, windowed), family
        except ModelError:
            continue
    return _fit_family(bound, last, source, windowed), last


def _fit_family(bound: Bound, family: Family, source: str | Path, windowed: frozenset[str]) -> Fitted:
    graphs = [bound(size) for size in family.sizes]
    layers = [layer_counts(graph) for graph in graphs]
    found = []
    for index, layer in enumerate(graphs[0].layers):
        seen = [probe[index] for probe in layers if index < len(probe)]
        if len(seen) < len(layers) or any(other.structure != seen[0].structure for other in seen):
            raise refusal(source, layer, "changes its structure with the sizes")
        columns = zip(*(other.counts for other in seen), strict=True)
        found.append([_fit(family, column, source, layer) for column in columns])
    live = _live(graphs[0], layers[0], found, windowed)
    for size, probe in zip(family.sizes, layers, strict=True):
        terms = features(*size)
        for index, layer in enumerate(graphs[0].layers):
            own, elements, own_seen, elements_seen = (value_of(one, terms) for one in live[index])
            if (own + own_seen, elements + elements_seen) != probe[index].live:
                raise refusal(source, layer, "keeps other activations alive with other sizes")
    return layers[0], [[*counts, *alive] for counts, alive in zip(found, live, strict=True)]


def _live(
    graph: LayerGraph,
    layers: Sequence[LayerCounts],
    fitted: Sequence[Sequence[tuple[int, ...]]],
    windowed: frozenset[str],
) -> list[tuple[tuple[int, ...], ...]]:
    """Polynomials of the live activations: the sums of those of the tensors alive, layer by layer.

    Returns:
        In bits and in elements of all but ``windowed``, then of these.
    """
    tensors = {
        name: polynomials[place]
        for layer, polynomials in zip(layers, fitted, strict=True)
        for name, place in layer.moved
    }

    def summed(place: int, *, bits: bool, seen: bool) -> IntArray:
        def size(tensor: TensorSpec) -> int:
            known = tensors.get(tensor.name)
            if known is None or (tensor.name in windowed) is not seen:
                return 0
            return known[place] * (tensor.dtype.bits if bits else 1)

        return graph.live_bytes(size)

    nothing = [[0] * FEATURES] * len(layers)
    found = [
        np.array([summed(place, bits=bits, seen=seen) for place in range(FEATURES)]).T.tolist()
        if windowed or not seen
        else nothing
        for seen in (False, True)
        for bits in (True, False)
    ]
    return [tuple(map(tuple, each)) for each in zip(*found, strict=True)]


def refusal(source: str | Path, layer: Layer, what: str) -> ModelError:
    """Why a decoder is none whose iterations can be counted."""
    accepted = "counts of degree 1 in batch and past and 2 in seq"
    if any(operator in _ROUTED for operator in layer.operators):
        what, accepted = "routes its tokens to experts, which are not counted", "a decoder without them"
    return ModelError(what, where=f"{source}, layer {layer.name}", accepted=accepted)


def _fit(family: Family, seen: tuple[int, ...], source: str | Path, layer: Layer) -> tuple[int, ...]:
    """Whole coefficients of a count's polynomial."""
    known = polynomial(family, seen)
    if known is None:
        raise refusal(source, layer, "has extents that are no polynomial of batch, seq and past")
    return known
