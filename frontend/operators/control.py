"""Control flow: inlined before lowering; what is left could not be resolved."""

from __future__ import annotations

from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import Treatment, lowers
from layerweaver.frontend.node.work import Step


@lowers("If", "Loop", "Scan", "SequenceMap", treatment=Treatment.CONTROL)
def control(operation: Operation) -> Step:
    """Never reached by a resolved graph.

    Raises:
        ModelError: Always: branches are chosen and loops are counted before lowering.
    """
    raise operation.error(
        "the body could not be inlined", accepted="give its trip count with --trip-count or bind its inputs"
    )
