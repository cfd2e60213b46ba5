"""What becomes of one node: its operator's work, or its size when nobody knows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from layerweaver.frontend.node.registry import Registry, load_shipped
from layerweaver.frontend.node.resolved import ResolvedNode
from layerweaver.frontend.node.values import Info, ShapeConflictError, UnknownShapeError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered, Step
from layerweaver.ir import LayerKind, ModelError, VectorCategory

__all__ = ["call_of", "is_product", "macs_of", "work_of"]


def is_product(resolved: ResolvedNode, registry: Registry) -> bool:
    """Whether a node multiplies matrices: such work is counted even when a compiler could do it once."""
    node = resolved.node
    entry = registry.find(node.op_type, node.domain, resolved.opset)
    return entry is not None and entry.is_product


def call_of(resolved: ResolvedNode, values: Mapping[str, Info]) -> Call:
    """The view of a node of the flat graph."""
    node = resolved.node
    inputs = [values.get(name) for name in node.inputs]
    return Call(node, inputs, resolved.opset, [values.get(name) for name in node.outputs])


def work_of(call: Call, registry: Registry, where: str) -> tuple[Lowered, str]:
    """The work of a node, and why it had to be guessed by the size of its tensors ("" when it had not).

    Args:
        call: The node.
        registry: Operators.
        where: File and node, for messages.

    Raises:
        ModelError: If the operands do not fit the operator.
    """
    domain = call.node.domain
    entry = registry.find(call.op, domain, call.opset)
    if entry is None or entry.work is None:
        lacks = "is unknown" if entry is None else "has no description of its work"
        return _by_size(call), f"operator {call.op!r} of domain {domain or 'ai.onnx'!r} {lacks}"
    try:
        return entry.work(call), ""
    except ShapeConflictError as conflict:
        raise ModelError(str(conflict), where=where, accepted=conflict.accepted) from None
    except UnknownShapeError as unknown:
        return _by_size(call), str(unknown)


def _by_size(call: Call) -> Step:
    written = sum(call.output_elements(index) for index in range(len(call.outputs)))
    read = sum(call.elements(index) for index in range(len(call.inputs)) if not call.constant(index))
    return Step(
        LayerKind.VECTOR,
        vector=(call.vector(VectorCategory.ELEMENTWISE, max(written, read)),),
        weights=call.weights(*range(len(call.inputs)), role="vector"),
    )


def macs_of(nodes: Iterable[ResolvedNode], values: Mapping[str, Info]) -> int:
    """Multiply-accumulates of nodes as they will be costed; nodes whose shapes are unknown count nothing."""
    registry = load_shipped()
    total = 0
    for resolved in nodes:
        if resolved.folded or not is_product(resolved, registry):
            continue
        try:
            answer, guessed = work_of(call_of(resolved, values), registry, "")
        except ModelError:
            continue
        if guessed:
            continue
        steps = answer if isinstance(answer, tuple) else (answer,)
        matrices = [step.matrix for step in steps if isinstance(step, Step) and step.matrix is not None]
        total += resolved.repeats * resolved.trips * sum(matrix.macs for matrix in matrices)
    return total
