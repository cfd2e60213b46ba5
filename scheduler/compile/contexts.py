"""Contexts for which a decoder's counts hold: windows of attention, and the longest that its graph takes."""

from __future__ import annotations

from dataclasses import replace

from layerweaver.ir import LayerGraph, ModelError
from layerweaver.scheduler.compile.fitted import Bound, Fitted, Size
from layerweaver.scheduler.compile.layer_counts import layer_counts
from layerweaver.scheduler.compile.polynomials import FAR, Family, value_of
from layerweaver.scheduler.iterations.rows import IterationRows, features, looked_at

__all__ = ["check_windows", "with_longest"]

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
    batch, new, past = size
    probe, (layers, polynomials) = layer_counts(graph), fitted
    if len(probe) != len(layers):
        return 0
    for index, layer in enumerate(graph.layers):
        window = layer.window
        seen = features(batch, new, looked_at(new, past, window))
        read = features(batch, new, min(past, window - 1)) if window else seen
        first = 5 + len(layer.vector) + len(layer.gathers)
        cached = range(first, first + len(layer.state_reads))
        *counts, own, elements, own_seen, elements_seen = polynomials[index]
        expected = [
            value_of(polynomial, read if place in cached else seen) for place, polynomial in enumerate(counts)
        ]
        whole = features(batch, new, past)
        for beside, looked in ((own, own_seen), (elements, elements_seen)):
            expected.append(value_of(beside, whole) + value_of(looked, seen))
        if expected != [*probe[index].counts, *probe[index].live]:
            return index
        if probe[index].structure != layers[index].structure:
            return index
    return None


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
    note = f"its counts hold for contexts of {min(longest)} tokens at most; longer requests are refused"
    return replace(rows, longest=min(longest), notes=(*rows.notes, note))


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
