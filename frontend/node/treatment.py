"""What becomes of one node: its operator's work, or its size when nobody knows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from layerweaver.frontend.node.registry import Registry, domain_name, load_shipped
from layerweaver.frontend.node.resolved import ResolvedNode
from layerweaver.frontend.node.values import Info, ShapeConflictError, UnknownShapeError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered, Step
from layerweaver.ir import LayerKind, ModelError, VectorCategory

__all__ = ["call_of", "is_product", "macs_of", "work_of"]


def is_product(resolved: ResolvedNode, registry: Registry) -> bool:
    """Whether a node multiplies matrices: such work is counted even when a compiler could do it once."""
    node = resolved.node
    entry = registry.find(node.op_type, domain_name(node.domain), resolved.opset)
    return entry is not None and entry.is_product


def call_of(resolved: ResolvedNode, values: Mapping[str, Info]) -> Call:
    """The view of a node of the flat graph."""
    node = resolved.node
    inputs = [values.get(name) for name in node.inputs]
    return Call(node, inputs, resolved.opset, [values.get(name) for name in node.outputs])


def work_of(call: Call, registry: Registry, *, where: str, strict: bool) -> tuple[Lowered, str]:
    """The work of a node, and a warning when it had to be guessed ("" when not).

    Args:
        call: The node.
        registry: Operators.
        where: File and node, for messages.
        strict: Refuse what would be guessed.

    Raises:
        ModelError: If the operands do not fit the operator, or ``strict`` and the operator or a shape that
            its work depends on is unknown.
    """
    domain = domain_name(call.node.domain)
    entry = registry.find(call.op, domain, call.opset)
    if entry is None or entry.work is None:
        shown = domain or "ai.onnx"
        if strict:
            raise ModelError(
                f"version {call.opset} of domain {shown!r} has no operator of this name",
                where=where,
                accepted="register it by the entry point 'layerweaver.operators', or leave out --strict",
            )
        guessed = f"operator {call.op!r} of domain {shown!r} is unknown; costed as vector work"
        return _by_size(call), f"{guessed} by the size of its tensors"
    try:
        return entry.work(call), ""
    except ShapeConflictError as conflict:
        raise ModelError(str(conflict), where=where, accepted=conflict.accepted) from None
    except UnknownShapeError as unknown:
        if strict:
            accepted = "bind the model's inputs with --shape or --dim"
            raise ModelError(str(unknown), where=where, accepted=accepted) from None
        return _by_size(call), f"{unknown}; costed as vector work by the size of its known tensors"


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
            answer, _ = work_of(call_of(resolved, values), registry, where="", strict=True)
        except ModelError:
            continue
        steps = answer if isinstance(answer, tuple) else (answer,)
        matrices = [step.matrix for step in steps if isinstance(step, Step) and step.matrix is not None]
        total += resolved.repeats * sum(matrix.macs for matrix in matrices)
    return total
