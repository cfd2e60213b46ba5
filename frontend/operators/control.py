"""Control flow: inlined before lowering; what is left could not be resolved."""

from __future__ import annotations

from layerweaver.frontend.node.registry import Treatment, operator
from layerweaver.frontend.node.values import ShapeConflictError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step


@operator("If", "Loop", "Scan", "SequenceMap", treatment=Treatment.CONTROL)
def control(_call: Call) -> Step:
    """Never reached by a resolved graph.

    Raises:
        ModelError: Always: branches are chosen and loops are counted before lowering.
    """
    raise ShapeConflictError(
        "the body could not be inlined", accepted="give its trip count with --trip-count or bind its inputs"
    )
