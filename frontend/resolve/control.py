"""Branches: the one that is taken where the condition is known, else the heavier one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerweaver.frontend.node.registry import MICROSOFT
from layerweaver.frontend.node.treatment import macs_of
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.reader.model import OnnxGraph, OnnxNode
from layerweaver.frontend.resolve.loops import walk_loop, walk_scan, walk_sequence_map
from layerweaver.frontend.resolve.scope import Scope, UnrollError
from layerweaver.frontend.resolve.searches import SEARCHES, walk_search
from layerweaver.frontend.resolve.walk import Inliner, Walker
from layerweaver.ir.errors import ModelError
from layerweaver.ir.text import counted

__all__ = ["CONTROL"]


def _branch(walker: Walker, node: OnnxNode, name: str, scope: Scope) -> list[Info]:
    graph = node.attributes.get(name)
    if not isinstance(graph, OnnxGraph):
        raise walker.fail(node, f"it has no {name}")
    inner = Scope(
        scope,
        f"{scope.prefix}{node.label or node.op_type}/",
        scope.opsets,
        graph.value_infos,
        repeats=scope.repeats,
        depth=scope.depth + 1,
    )
    outputs = walker.graph(graph, inner)
    if len(outputs) < len(node.outputs):
        raise walker.fail(
            node, f"its {name} has {counted(len(outputs), 'output')}, it names {len(node.outputs)}"
        )
    return outputs


def _walk_if(walker: Walker, node: OnnxNode, inputs: Sequence[Info | None], scope: Scope) -> Sequence[Info]:
    condition = inputs[0] if inputs else None
    if condition is None:
        raise walker.fail(node, "it has no condition")
    if condition.value is not None and condition.value.size:
        taken = "then_branch" if bool(condition.value.ravel()[0]) else "else_branch"
        return _branch(walker, node, taken, scope)
    if walker.trial and condition.varying and condition.constant:
        raise UnrollError
    return _heavier(walker, node, condition, scope)


def _heavier(walker: Walker, node: OnnxNode, condition: Info, scope: Scope) -> Sequence[Info]:
    mark = walker.mark()
    errors: list[ModelError] = []
    outcomes = []
    for name in ("then_branch", "else_branch"):
        try:
            outputs = _branch(walker, node, name, scope)
        except ModelError as error:
            errors.append(error)
            walker.rollback(mark)
            continue
        macs = macs_of(walker.nodes[mark[0] :], walker.infos)
        results = sum(math.prod(info.shape or ()) for info in outputs)
        weight = (macs, results, len(walker.nodes) - mark[0])
        outcomes.append((weight, name, outputs, walker.rollback(mark)))
    if not outcomes:
        raise errors[0]
    (macs, results, _), name, outputs, recorded = max(outcomes, key=lambda outcome: outcome[0])
    walker.replay(recorded)
    reason = (
        "the other does not fit its inputs"
        if errors
        else f"the heavier one ({macs} multiply-accumulates, {results} elements of results)"
    )
    why = f"its condition {condition.name} depends on data"
    why, cure = walker.doubts.undecided(condition, why, walker.doubts.statable(condition))
    walker.doubts.add(node, f"{why}: {name} is taken, {reason}", cure)
    return outputs


CONTROL: dict[tuple[str, str], Inliner] = {
    ("", "If"): _walk_if,
    ("", "Loop"): walk_loop,
    ("", "Scan"): walk_scan,
    ("", "SequenceMap"): walk_sequence_map,
    **{(MICROSOFT, name): walk_search for name in SEARCHES},
}
"""Handlers of operators with graphs inside, by domain and name."""
