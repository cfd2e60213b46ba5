"""The fusion passes as values, their order, and what every one of them must leave unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from layerweaver.frontend.fusion.attention import name_attention
from layerweaver.frontend.fusion.concat import write_concat_in_place
from layerweaver.frontend.fusion.epilogue import fuse_epilogues, fuse_region_epilogues
from layerweaver.frontend.fusion.fold import fold_affine, fold_batch_normalization
from layerweaver.frontend.fusion.patterns import recognise_patterns
from layerweaver.frontend.fusion.prologue import fuse_prologues
from layerweaver.frontend.fusion.quantized import fold_dequantize
from layerweaver.frontend.fusion.regions import collapse_regions, collapse_streams
from layerweaver.frontend.lowering.draft import DraftGraph

__all__ = ["PASSES", "Pass", "fuse_drafts"]


@dataclass(frozen=True, slots=True)
class Pass:
    """One fusion.

    Attributes:
        name: Kebab-case name.
        apply: Merges drafts in place and returns how many it merged.
        requires: Passes that must have run before.
    """

    name: str
    apply: Callable[[DraftGraph], int]
    requires: tuple[str, ...] = ()


PASSES: tuple[Pass, ...] = (
    Pass("fold-dequantize", fold_dequantize),
    Pass("recognise-patterns", recognise_patterns, requires=("fold-dequantize",)),
    Pass("write-concat-in-place", write_concat_in_place, requires=("recognise-patterns",)),
    Pass("fold-batch-normalization", fold_batch_normalization),
    Pass("fold-affine", fold_affine, requires=("fold-batch-normalization", "recognise-patterns")),
    Pass("fuse-epilogues", fuse_epilogues, requires=("fold-affine",)),
    Pass("collapse-streams", collapse_streams, requires=("fuse-epilogues",)),
    Pass("fuse-stream-epilogues", fuse_region_epilogues, requires=("collapse-streams",)),
    Pass("collapse-regions", collapse_regions, requires=("fuse-stream-epilogues",)),
    Pass("fuse-prologues", fuse_prologues, requires=("collapse-regions",)),
    Pass("name-attention", name_attention, requires=("fuse-prologues",)),
)
"""The passes in the order in which they run."""


@dataclass(frozen=True, slots=True)
class _Conserved:
    """What fusion must not change."""

    macs: int
    parameters: int
    outputs: frozenset[str]
    states: frozenset[str]
    nodes: int


def _measure(graph: DraftGraph) -> _Conserved:
    macs = nodes = 0
    parameters: dict[str, int] = {}
    outputs: set[str] = set()
    states: set[str] = set()
    for draft in graph.drafts():
        nodes += len(draft.origins)
        if draft.matrix is not None:
            macs += draft.matrix.macs
        for tensor in draft.weights.values():
            parameters[tensor.name] = tensor.elements
        for gather in draft.gathers:
            parameters[gather.table.name] = gather.table.elements
        outputs.update(graph.pinned.intersection(draft.writes))
        if graph.states:
            states.update(graph.states.intersection(draft.reads))
    return _Conserved(macs, sum(parameters.values()), frozenset(outputs), frozenset(states), nodes)


def fuse_drafts(graph: DraftGraph, passes: Sequence[Pass] = PASSES) -> dict[str, int]:
    """Run the passes in order.

    Returns:
        How many drafts every pass merged.

    Raises:
        RuntimeError: If a pass runs before one that it requires, or changes multiply-accumulates,
            parameters, graph outputs, state or the set of nodes: a fault of the pass, which is named.
    """
    merged: dict[str, int] = {}
    before = _measure(graph)
    for one in passes:
        missing = [name for name in one.requires if name not in merged]
        if missing:
            raise RuntimeError(f"fusion pass {one.name!r} needs {missing[0]!r} to run before it")
        merged[one.name] = one.apply(graph)
        after = _measure(graph) if merged[one.name] else before
        if after != before:
            earlier = ", ".join(merged)
            raise RuntimeError(f"fusion pass {one.name!r} (after {earlier}) changed {before} to {after}")
    return merged
