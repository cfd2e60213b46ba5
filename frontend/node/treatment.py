"""What becomes of one node: its registered lowering, or its size when nobody knows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from layerweaver.frontend.node.operation import Operation, UnknownShapeError
from layerweaver.frontend.node.registry import Registry, Treatment, domain_name, load_shipped
from layerweaver.frontend.node.resolved import ResolvedNode, resolved_value
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.work import Lowered, Step
from layerweaver.ir import LayerKind, ModelError, VectorCategory

__all__ = ["is_product", "macs_of", "work_of"]

_PRODUCTS = frozenset({Treatment.MATRIX, Treatment.RECURRENT})


def is_product(resolved: ResolvedNode, registry: Registry) -> bool:
    """Whether a node multiplies matrices: such work is counted even when a compiler could do it once."""
    node = resolved.node
    lowering = registry.find(node.op_type, domain_name(node.domain), resolved.opset)
    return lowering is not None and lowering.treatment in _PRODUCTS


def work_of(operation: Operation, registry: Registry, *, strict: bool) -> tuple[Lowered, str]:
    """The work of a node, and a warning when it had to be guessed ("" when not).

    Raises:
        ModelError: If the operands do not fit the operator, or ``strict`` and the operator or a shape that
            its work depends on is unknown.
    """
    domain = domain_name(operation.node.domain)
    lowering = registry.find(operation.operator, domain, operation.opset)
    where = f"node {operation.name!r} ({operation.operator})"
    if lowering is None:
        shown = domain or "ai.onnx"
        if strict:
            raise operation.error(
                f"version {operation.opset} of domain {shown!r} has no operator of this name",
                accepted="register it by the entry point 'layerweaver.operators', or leave out --strict",
            )
        guessed = f"operator {operation.operator!r} of domain {shown!r} is unknown; costed as vector work"
        return _by_size(operation), f"{where}: {guessed} by the size of its tensors"
    try:
        return lowering.function(operation), ""
    except UnknownShapeError as error:
        if strict:
            raise
        guessed = f"{error.what}; costed as vector work by the size of its known tensors"
        return _by_size(operation), f"{where}: {guessed}"


def _by_size(operation: Operation) -> Step:
    node = operation.node
    written = sum(operation.output_elements(index) for index in range(len(node.outputs)))
    read = sum(
        operation.elements(index) for index in range(len(node.inputs)) if not operation.constant(index)
    )
    return Step(
        LayerKind.VECTOR,
        vector=(operation.vector(VectorCategory.ELEMENTWISE, max(written, read)),),
        weights=operation.weights(*range(len(node.inputs)), role="vector"),
    )


def macs_of(nodes: Iterable[ResolvedNode], infos: Mapping[str, Info], source: str) -> int:
    """Multiply-accumulates of nodes as they will be costed; nodes whose shapes are unknown count nothing."""
    registry = load_shipped()
    total = 0
    for entry in nodes:
        if entry.folded or not is_product(entry, registry):
            continue
        names = (*entry.node.inputs, *entry.node.outputs)
        values = {name: resolved_value(name, infos[name]) for name in names if name in infos}
        operation = Operation(entry, values, source, entry.node.name)
        try:
            answer, _ = work_of(operation, registry, strict=True)
        except ModelError:
            continue
        steps = answer if isinstance(answer, tuple) else (answer,)
        matrices = [step.matrix for step in steps if isinstance(step, Step) and step.matrix is not None]
        total += entry.repeats * sum(matrix.macs for matrix in matrices)
    return total
