"""Operators that only move data."""

from __future__ import annotations

from layerweaver.frontend.operation import Lowered, Operation, Step, View
from layerweaver.frontend.operators.elementwise import vector_step
from layerweaver.frontend.registry import NCHWC, Treatment, lowers
from layerweaver.ir import LayerKind, VectorCategory

MOVE = VectorCategory.MOVE


def move_step(operation: Operation, elements: int, parameters: tuple[int, ...]) -> Step:
    """A move layer of ``elements`` elements."""
    return vector_step(operation, MOVE, elements, kind=LayerKind.MOVE, parameters=parameters)


@lowers("Transpose", treatment=Treatment.MOVE, category=MOVE)
def transpose(operation: Operation) -> Lowered:
    """Axes change places; where only axes of extent one do, nothing moves."""
    shape = operation.shape(0)
    order = operation.integers("perm", tuple(reversed(range(len(shape)))))
    long_axes = [axis for axis in order if 0 <= axis < len(shape) and shape[axis] != 1]
    if long_axes == sorted(long_axes):
        return View(0)
    return move_step(operation, operation.output_elements(), (0,))


@lowers("Expand", "Tile", treatment=Treatment.MOVE, category=MOVE)
def repeat(operation: Operation) -> Lowered:
    """Copies; where the shape stays the same, nothing moves."""
    if operation.elements(0) == operation.output_elements():
        return View(0)
    return move_step(operation, operation.output_elements(), (0,))


@lowers("Slice", treatment=Treatment.MOVE, category=MOVE)
@lowers("CenterCropPad", treatment=Treatment.MOVE, category=MOVE)
def slice_(operation: Operation) -> Lowered:
    """Part of the input; the whole of it is a view."""
    if operation.operator == "Slice" and operation.elements(0) == operation.output_elements():
        steps = operation.value(4)
        if steps is None or bool((steps > 0).all()):
            return View(0)
    return move_step(operation, operation.output_elements(), (0,))


@lowers("Concat", treatment=Treatment.MOVE, category=MOVE)
def concat(operation: Operation) -> Lowered:
    """Inputs one behind the other; a single one is a view."""
    filled = [
        index
        for index in range(len(operation.node.inputs))
        if operation.elements(index) or len(operation.node.inputs) == 1
    ]
    if len(filled) == 1 and not operation.constant(filled[0]):
        return View(filled[0])
    return move_step(operation, operation.output_elements(), tuple(range(len(operation.node.inputs))))


@lowers("Split", treatment=Treatment.MOVE, category=MOVE)
def split(operation: Operation) -> Lowered:
    """Parts of the input; a single one is a view."""
    if len([name for name in operation.node.outputs if name]) == 1 and (
        operation.elements(0) == operation.output_elements()
    ):
        return View(0)
    total = sum(operation.output_elements(index) for index in range(len(operation.node.outputs)))
    return move_step(operation, total, (0,))


@lowers("Pad", "DepthToSpace", "SpaceToDepth", "ReverseSequence", treatment=Treatment.MOVE, category=MOVE)
@lowers("Compress", "Col2Im", "Trilu", "OneHot", treatment=Treatment.MOVE, category=MOVE)
def move(operation: Operation) -> Lowered:
    """Every result is written once; a pad of nothing is a view."""
    if operation.operator == "Pad" and operation.elements(0) == operation.output_elements():
        return View(0)
    return move_step(operation, operation.output_elements(), (0,))


@lowers("ReorderInput", "ReorderOutput", domain=NCHWC, treatment=Treatment.MOVE, category=MOVE)
def reorder(operation: Operation) -> Step:
    """Channels are gathered into blocks, or taken out of them."""
    return move_step(operation, operation.output_elements(), ())


@lowers("Scatter", "ScatterElements", "ScatterND", "TensorScatter", treatment=Treatment.MOVE, category=MOVE)
def scatter(operation: Operation) -> Step:
    """The data is updated in place: only what is scattered moves."""
    update = 1 if operation.operator == "TensorScatter" else 2
    step = move_step(operation, operation.elements(update), (0, update))
    if operation.operator != "TensorScatter":
        return step
    rows = {operation.node.outputs[0]: operation.elements(1)}
    return Step(step.kind, vector=step.vector, weights=step.weights, appended=rows)
