"""What a decoder's concatenations in place join, as terms of an iteration's rows."""

from __future__ import annotations

from collections.abc import Sequence

from layerweaver.costmodel.joins import joins_in_place
from layerweaver.ir import LayerGraph
from layerweaver.scheduler.compile.layer_counts import LayerCounts
from layerweaver.scheduler.iterations.rows import Term

__all__ = ["Joined", "joined_terms"]

Polynomial = tuple[int, ...]
Joined = tuple[tuple[Term, ...], ...]


def joined_terms(
    graph: LayerGraph, layers: Sequence[LayerCounts], fitted: Sequence[Sequence[Polynomial]]
) -> list[Joined]:
    """Of each layer, by tensor, the terms of which the least counts.

    Args:
        graph: The decoder at one size.
        layers: Its counts there.
        fitted: Polynomials of all counts.
    """

    def moved(index: int) -> list[Polynomial]:
        """Inputs of a layer, and behind them its outputs."""
        return [fitted[index][place] for _, place in layers[index].moved]

    def read(index: int) -> Polynomial:
        inputs = moved(index)[: len(graph.layers[index].inputs)]
        return tuple(map(sum, zip(*inputs, strict=True)))

    found: list[Joined] = [()] * len(layers)
    for index, outputs in joins_in_place(graph).items():
        written = moved(index)[len(graph.layers[index].inputs) :]
        tensors = [
            _least([read(reader) for reader in readers] or [own])
            for own, readers in zip(written, outputs, strict=True)
        ]
        found[index] = tuple(dict.fromkeys(tensors))
    return found


def _least(counts: list[Polynomial]) -> tuple[Term, ...]:
    """Those of some counts that may be the least: without any that is nowhere below another."""
    different = list(dict.fromkeys(counts))
    return tuple(
        Term(one, 0)
        for one in different
        if not any(
            other != one and all(a <= b for a, b in zip(other, one, strict=True)) for other in different
        )
    )
