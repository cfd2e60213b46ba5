"""Sequences: their elements are moved in and out, the sequence itself is bookkeeping."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from layerweaver.frontend.node.registry import Treatment, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, UnknownShapeError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step, View
from layerweaver.frontend.operators.movement import MOVE, joined, move_step
from layerweaver.frontend.operators.views import free, view
from layerweaver.frontend.reader.model import ValueInfo
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import DType

_LIMIT = 1 << 16


def _largest(elements: Sequence[Info]) -> tuple[int, ...] | None:
    """The element shape of most elements, to stand for the sequence."""
    shapes = [element.shape for element in elements if element.shape is not None]
    return max(shapes, key=math.prod) if shapes else None


def _sequence(dtype: DType, elements: tuple[Info, ...]) -> Info:
    _check_length(len(elements))
    return Info(dtype, _largest(elements), elements=elements)


def _check_length(count: int) -> None:
    if count > _LIMIT:
        raise ShapeConflictError(f"a sequence of {count} elements is too long")


def _construct_shape(call: Call) -> tuple[Info]:
    elements = tuple(found for found in call.inputs if found is not None)
    return (_sequence(call.dtype(0), elements),)


def _elements(call: Call, index: int) -> tuple[Info, ...]:
    found = call.info(index)
    if found.elements is None:
        raise UnknownShapeError(f"the length of the sequence {found.name} is unknown")
    return found.elements


def _steady_elements(call: Call, index: int) -> tuple[Info, ...]:
    elements = _elements(call, index)
    if call.info(index).varying:
        raise UnknownShapeError(f"the length of the sequence {call.info(index).name} changes")
    return elements


def _position(call: Call, index: int, count: int, *, end: int) -> int | None:
    """The position that input ``index`` gives; None when it depends on data."""
    value = call.value(index)
    if value is None or value.size != 1:
        return None
    place = int(value.ravel()[0])
    place = place + count if place < 0 else place
    if not 0 <= place < count + end:
        raise ShapeConflictError(f"position {place} is out of range for a sequence of {count}")
    return place


def _insert_shape(call: Call) -> tuple[Info]:
    elements, added = _elements(call, 0), call.info(1)
    place: int | None = len(elements)
    if call.has(2):
        elements = _steady_elements(call, 0)
        place = _position(call, 2, len(elements), end=1)
    if place is None:
        place = len(elements)
    longer, before = (*elements[:place], added, *elements[place:]), call.info(0).shape
    if place < len(elements) or before is None or added.shape is None:
        return (_sequence(added.dtype, longer),)
    _check_length(len(longer))
    return (Info(added.dtype, max(before, added.shape, key=math.prod), elements=longer),)


@operator("SequenceConstruct", shape=_construct_shape, category=MOVE)
@operator("SequenceInsert", shape=_insert_shape, category=MOVE)
def put(call: Call) -> Step:
    """What is put in is written once; what was there stays."""
    first = 1 if call.op == "SequenceInsert" else 0
    count = 2 if call.op == "SequenceInsert" else len(call.node.inputs)
    elements = sum(call.elements(index) for index in range(first, count))
    return move_step(call, elements, tuple(range(first, count)))


def _concat_from_sequence_shape(call: Call) -> tuple[Info]:
    elements = _steady_elements(call, 0)
    if not elements:
        raise ShapeConflictError("it joins an empty sequence")
    shapes = []
    for element in elements:
        if element.shape is None:
            raise UnknownShapeError(f"the shape of {element.name} is unknown")
        shapes.append(element.shape)
    first, new_axis = shapes[0], call.integer("new_axis", 0)
    axis = call.axis(call.integer("axis", 0), len(first) + (1 if new_axis else 0))
    if not new_axis:
        return (Info(call.dtype(0), joined(call, shapes, axis)),)
    for shape in shapes:
        if shape != first:
            raise ShapeConflictError(f"cannot join {text(first)} and {text(shape)} along axis {axis}")
    return (Info(call.dtype(0), (*first[:axis], len(shapes), *first[axis:])),)


def _split_to_sequence_shape(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    axis = call.axis(call.integer("axis", 0), len(shape))
    extent = shape[axis]
    keep = call.integer("keepdims", 1) or call.has(1)
    parts = [1] * min(extent, _LIMIT + 1)
    if call.has(1):
        sizes = call.integers(1)
        if call.shape(1) == ():
            size = sizes[0]
            if size < 1 or extent // size > _LIMIT:
                raise ShapeConflictError(f"cannot split {text(shape)} into parts of {size}")
            parts = [min(size, extent - start) for start in range(0, extent, size)]
        else:
            parts = sizes
        if sum(parts) != extent:
            raise ShapeConflictError(f"cannot split {text(shape)} along axis {axis} into {parts[:16]}")
    elements = []
    for part in parts:
        middle = (part,) if keep else ()
        elements.append(found.part((*shape[:axis], *middle, *shape[axis + 1 :])))
    return (_sequence(found.dtype, tuple(elements)),)


@operator("ConcatFromSequence", shape=_concat_from_sequence_shape, category=MOVE)
@operator("SplitToSequence", shape=_split_to_sequence_shape, category=MOVE, roots_from=(0,))
def convert(call: Call) -> Step:
    """Everything is written once."""
    return move_step(call, max(call.elements(0), call.output_elements()), (0,))


def _at_shape(call: Call) -> tuple[Info]:
    if call.info(0).elements is None:
        return (Info(call.dtype(0), call.shape(0)),)
    elements = _steady_elements(call, 0)
    if not elements:
        raise ShapeConflictError("it takes an element of an empty sequence")
    place = _position(call, 1, len(elements), end=0)
    if place is not None:
        chosen = elements[place]
        return (Info(chosen.dtype, chosen.shape, chosen.value, upper=chosen.upper),)
    shape = _largest(elements)
    uneven = any(element.shape != shape for element in elements)
    if uneven:
        call.note(f"which element depends on data: taken as one of {text(shape or ())}")
    return (Info(call.dtype(0), shape, upper=uneven),)


@operator("SequenceAt", shape=_at_shape, category=MOVE)
def take(call: Call) -> Step:
    """One element is read."""
    return move_step(call, call.output_elements(), (0,))


def _erase_shape(call: Call) -> tuple[Info]:
    elements = _steady_elements(call, 0)
    place = _position(call, 1, len(elements), end=0) if call.has(1) else len(elements) - 1
    if not elements:
        raise ShapeConflictError("it erases from an empty sequence")
    place = len(elements) - 1 if place is None else place
    return (_sequence(call.dtype(0), elements[:place] + elements[place + 1 :]),)


@operator("SequenceErase", shape=_erase_shape, treatment=Treatment.VIEW)
def erase(_call: Call) -> View:
    """Nothing moves."""
    return View(0)


def _empty_shape(call: Call) -> tuple[Info]:
    return (Info(ONNX_TYPES.get(call.integer("dtype", 1), DType.FLOAT32), None, elements=()),)


def _length_shape(call: Call) -> tuple[Info]:
    return (Info(DType.INT64, (), np.array(len(_steady_elements(call, 0)), dtype=np.int64)),)


def _optional_shape(call: Call) -> tuple[Info]:
    if call.has(0):
        found = call.info(0)
        return (Info(found.dtype, found.shape, found.value, elements=found.elements),)
    declared = call.attributes.get("type")
    dtype = declared.dtype if isinstance(declared, ValueInfo) else DType.UNDEFINED
    return (Info(dtype, None, absent=True),)


def _optional_get_shape(call: Call) -> tuple[Info]:
    found = call.info(0)
    if found.absent:
        raise ShapeConflictError(f"it takes the element of {found.name}, which is empty")
    return (Info(found.dtype, found.shape, found.value, elements=found.elements),)


def _optional_has_shape(call: Call) -> tuple[Info]:
    present = call.has(0) and not call.info(0).absent
    return (Info(DType.BOOL, (), np.array(present)),)


operator("SequenceLength", shape=_length_shape, treatment=Treatment.CONSTANT, roots_from=(), values_from=())(
    free
)


operator("SequenceEmpty", shape=_empty_shape, treatment=Treatment.CONSTANT)(free)


operator(
    "OptionalHasElement",
    shape=_optional_has_shape,
    treatment=Treatment.CONSTANT,
    roots_from=(),
    values_from=(),
)(free)


operator("Optional", shape=_optional_shape, treatment=Treatment.VIEW)(view)


operator("OptionalGetElement", shape=_optional_get_shape, treatment=Treatment.VIEW)(view)
