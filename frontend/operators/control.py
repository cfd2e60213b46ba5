"""Control flow: inlined before lowering; what is left could not be resolved."""

from __future__ import annotations

from layerweaver.frontend.operation import Operation, Step
from layerweaver.frontend.registry import Treatment, lowers


@lowers("If", "Loop", "Scan", "SequenceMap", treatment=Treatment.CONTROL)
def control(operation: Operation) -> Step:
    """Never reached by a resolved graph.

    Raises:
        ModelError: Always: branches are chosen and loops are counted before lowering.
    """
    raise operation.error(
        "the body could not be inlined", accepted="give its trip count with --trip-count or bind its inputs"
    )
