"""Contexts for which a decoder's counts hold: windows of attention, and the longest that its graph takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from layerweaver.ir import Layer, LayerGraph, ModelError
from layerweaver.scheduler.compile.fitted import Bound, Fitted, Polynomial, Size, refusal
from layerweaver.scheduler.compile.layer_counts import LayerCounts, layer_counts
from layerweaver.scheduler.compile.polynomials import FAR, Family, polynomial, value_of
from layerweaver.scheduler.iterations.rows import IterationRows, features, looked_at

__all__ = ["Alone", "check_windows", "found_alone", "with_longest"]

_SHORT = 4096
"""Windows up to which more new tokens than they hold are tried."""


def check_windows(bound: Bound, first: LayerGraph, fitted: tuple[Fitted, Fitted], source: str) -> None:
    """Check that counts behind a window are those of fewer cached tokens.

    Args:
        bound: The decoder at a size.
        first: It at one.
        fitted: Polynomials without windows, for any new tokens and for a single one.
        source: What it was read from.

    Raises:
        ModelError: With the layer for which that does not hold.
    """
    for window in sorted({layer.window for layer in first.layers} - {0}):
        sizes = [(2, 3, window + 5), (3, 1, window + 6), (2, 1, max(1, window - 2))]
        if window <= _SHORT:
            sizes.append((2, window + 2, 4))
        for size in sizes:
            graph = bound(size)
            wrong = _differing(graph, fitted[size[1] == 1], size)
            if wrong is not None:
                name = graph.layers[min(wrong, len(graph.layers) - 1)].name
                raise ModelError(
                    f"counts more of a window of {window} tokens than what lies in it",
                    where=f"{source}, layer {name}",
                    accepted="attention whose counts grow with the tokens it looks at",
                )


def _differing(graph: LayerGraph, fitted: Fitted, size: Size) -> int | None:
    """First layer whose counts are not those of its polynomials."""
    probe, (layers, polynomials) = layer_counts(graph), fitted
    if len(probe) != len(layers):
        return 0
    for index, layer in enumerate(graph.layers):
        found = probe[index]
        if _counted(layer, polynomials[index], size) != [*found.counts, *found.live]:
            return index
        if found.structure != layers[index].structure:
            return index
    return None


def _counted(layer: Layer, polynomials: Sequence[Polynomial], size: Size) -> list[int]:
    """A layer's counts at a size by its polynomials, live activations last."""
    (batch, new, past), window = size, layer.window
    seen = features(batch, new, looked_at(new, past, window))
    read = features(batch, new, min(past, window - 1)) if window else seen
    first = 5 + len(layer.vector) + len(layer.gathers)
    cached = range(first, first + len(layer.state_reads))
    *counts, own, elements, own_seen, elements_seen = polynomials
    found = [value_of(one, read if place in cached else seen) for place, one in enumerate(counts)]
    whole = features(batch, new, past)
    for beside, looked in ((own, own_seen), (elements, elements_seen)):
        found.append(value_of(beside, whole) + value_of(looked, seen))
    return found


Alone = list[tuple[Polynomial, Polynomial, tuple[bool, ...]] | None]
"""Of one sequence alone bits and elements alive besides what windows bound, and which vector works there are.

None where there is no layer."""


def found_alone(bound: Bound, fitted: Fitted, family: Family, alone: Family, source: str) -> Alone | None:
    """What differs for one sequence alone, where transposes may move nothing and are no layers.

    Args:
        bound: The decoder at a size, without windows.
        fitted: Polynomials of its counts.
        family: The sizes by which they were found.
        alone: Sizes of one sequence.
        source: What it was read from.

    Returns:
        Nothing where its counts hold for one sequence, too.

    Raises:
        ModelError: With a layer that counts something else then.
    """
    if family.holds_alone:
        return None
    if max(past for *_, past in family.sizes) < FAR:
        alone = alone.near
    graphs_of, graphs = bound(family.sizes[0]).layers, [*map(bound, alone.sizes)]
    names = [layer.name for layer in graphs_of]
    present = {layer.name for layer in graphs[0].layers}
    left = [place for place, name in enumerate(names) if name in present]
    alive: list[list[tuple[int, int]]] = [[] for _ in left]
    works: list[set[tuple[bool, ...]]] = [set() for _ in left]
    for graph, size in zip(graphs, alone.sizes, strict=True):
        if [layer.name for layer in graph.layers] != [names[place] for place in left]:
            raise refusal(source, graph.layers[0], "is followed by other layers for one sequence alone")
        probes = layer_counts(graph)
        for at, (layer, place) in enumerate(zip(graph.layers, left, strict=True)):
            polynomials = fitted[1][place]
            counts = _counted(replace(layer, vector=graphs_of[place].vector), polynomials, size)[:-2]
            there = _works_there(probes[at], (fitted[0][place], counts), left)
            if there is None:
                raise refusal(source, layer, "counts something else for one sequence alone")
            works[at].add(there)
            seen = [value_of(one, features(*size)) for one in polynomials[-2:]]
            alive[at].append((probes[at].live[0] - seen[0], probes[at].live[1] - seen[1]))
    found: Alone = [None] * len(names)
    for place, live, kept in zip(left, alive, works, strict=True):
        own, elements = (polynomial(alone, counts) for counts in zip(*live, strict=True))
        if own is None or elements is None or len(kept) > 1:
            raise refusal(source, graphs_of[place], "keeps other activations alive for one sequence alone")
        found[place] = own, elements, kept.pop()
    return found


Works = Sequence[tuple[object, ...]]


def _works_there(
    probe: LayerCounts, several: tuple[LayerCounts, Sequence[int]], places: Sequence[int]
) -> tuple[bool, ...] | None:
    """Which vector works of a layer of several sequences are there for one alone; None if more differs.

    Args:
        probe: The layer of one sequence.
        several: That of several, and what it would count.
        places: Places of the layers of one sequence among those of several.
    """
    known, counts = several
    *before, ours, tensors, weights, joined = probe.structure
    ours, theirs = cast(Works, ours), cast(Works, known.structure[3])
    if isinstance(joined, list):
        joined = [[places[reader] for reader in readers] for readers in joined]
    left, there = list(zip(ours, probe.counts[5:], strict=False)), list[bool]()
    for work, count in zip(theirs, counts[5:], strict=False):
        there.append(left[:1] == [(work, count)])
        left = left[1:] if there[-1] else left
    rest = probe.counts[:5], probe.counts[5 + len(ours) :]
    expected = tuple(counts[:5]), tuple(counts[5 + len(there) :])
    agree = not left and rest == expected and (*before, theirs, tensors, weights, joined) == known.structure
    return tuple(there) if agree else None


def with_longest(
    rows: IterationRows, bound: Bound, found: tuple[tuple[Fitted, Family], tuple[Fitted, Family]]
) -> IterationRows:
    """The rows with the longest context for which they hold, where that is not any.

    Args:
        rows: The rows.
        bound: The decoder at a size.
        found: Polynomials, and the sizes by which they were found, for any new tokens and for a single one.
    """
    longest = [
        _longest(bound, fitted, new)
        for (fitted, family), new in zip(found, (3, 1), strict=True)
        if all(past < FAR for _, _, past in family.sizes)
    ]
    if not longest:
        return rows
    try:
        # One more than the first that differs: a table that is read whole may be a layer less.
        bound((2, 1, min(longest) + 1))
    except ModelError:
        return replace(rows, longest=min(longest), ends=True)
    return replace(rows, longest=min(longest))


def _longest(bound: Bound, fitted: Fitted, new: int) -> int:
    """Most tokens of a context of so many new ones for which counts are those of the polynomials."""
    holds, ends = 21, FAR
    while ends - holds > 1:
        middle = (holds + ends) // 2
        size = (2, new, middle)
        try:
            differs = _differing(bound(size), fitted, size) is not None
        except ModelError:
            differs = True
        holds, ends = (holds, middle) if differs else (middle, ends)
    return holds + new
