"""Operators that only move data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from layerweaver.frontend.node.registry import like_first, operator
from layerweaver.frontend.node.values import Array, Info, ShapeConflictError, storable, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered, Step, View
from layerweaver.frontend.operators.elementwise import fold, vector_step
from layerweaver.ir import DType, LayerKind, VectorCategory
from layerweaver.ir.text import counted

MOVE = VectorCategory.MOVE


def move_step(call: Call, elements: int, parameters: tuple[int, ...]) -> Step:
    """A move layer of ``elements`` elements."""
    return vector_step(call, MOVE, elements, kind=LayerKind.MOVE, parameters=parameters)


def _transpose_shape(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    order = call.integer_list("perm")
    if order is None:
        order = list(range(len(shape)))[::-1]
    if sorted(order) != list(range(len(shape))):
        raise ShapeConflictError(f"perm {order} does not permute the axes of {text(shape)}")
    value = None if found.value is None else found.value.transpose(order)
    return (Info(found.dtype, tuple([shape[axis] for axis in order]), value),)


@operator("Transpose", shape=_transpose_shape, category=MOVE)
def transpose(call: Call) -> Lowered:
    """Axes change places; where only axes of extent one do, nothing moves."""
    shape = call.shape(0)
    order = call.integer_list("perm") or list(reversed(range(len(shape))))
    long_axes = [axis for axis in order if 0 <= axis < len(shape) and shape[axis] != 1]
    if long_axes == sorted(long_axes):
        return View(0)
    return move_step(call, call.output_elements(), (0,))


def _spread(value: Array, dtype: DType, shape: tuple[int, ...]) -> Array | None:
    return storable(np.broadcast_to(value, shape), dtype, shape)


def _expand_shape(call: Call) -> tuple[Info]:
    found, shape, target = call.info(0), call.shape(0), call.integers(1)
    rank = max(len(shape), len(target))
    left = (1,) * (rank - len(shape)) + shape
    right = [1] * (rank - len(target)) + target
    if any(a != b and 1 not in (a, b) for a, b in zip(left, right, strict=True)) or min(right, default=0) < 0:
        raise ShapeConflictError(f"cannot expand {text(shape)} to {target}")
    result = tuple(a if b == 1 else b for a, b in zip(left, right, strict=True))
    value = found.value
    return (Info(found.dtype, result, None if value is None else _spread(value, found.dtype, result)),)


def _repeated(call: Call) -> list[int]:
    repeats = call.integers(1)
    if call.opset < 6 and call.has(2) and len(repeats) == 1:
        axis = call.integers(2)[0]
        return [repeats[0] if index == axis else 1 for index in range(len(call.shape(0)))]
    return repeats


def _tile_shape(call: Call) -> tuple[Info]:
    found, shape, repeats = call.info(0), call.shape(0), _repeated(call)
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        raise ShapeConflictError(f"cannot tile {text(shape)} by {repeats}")
    result = tuple(extent * times for extent, times in zip(shape, repeats, strict=True))
    value = None
    if found.value is not None and math.prod(result) <= found.value.size * 64:
        value = storable(np.tile(found.value, repeats), found.dtype, result)
    return (Info(found.dtype, result, value),)


@operator("Expand", shape=_expand_shape, category=MOVE, roots_from=(0,))
@operator("Tile", shape=_tile_shape, category=MOVE, roots_from=(0,))
def repeat(call: Call) -> Lowered:
    """Copies; where the shape stays the same, nothing moves."""
    if call.elements(0) == call.output_elements():
        return View(0)
    return move_step(call, call.output_elements(), (0,))


def joined(call: Call, shapes: Sequence[tuple[int, ...]], axis: int) -> tuple[int, ...]:
    """Shape of tensors of ``shapes`` one behind the other along ``axis``.

    Raises:
        ShapeConflictError: There are none, or they differ in another axis.
    """
    if not shapes:
        raise ShapeConflictError("it has no inputs")
    first = shapes[0]
    axis = call.axis(axis, len(first))
    total = 0
    head, tail = first[:axis], first[axis + 1 :]
    for shape in shapes:
        if len(shape) != len(first) or shape[:axis] != head or shape[axis + 1 :] != tail:
            raise ShapeConflictError(f"cannot join {text(first)} and {text(shape)} along axis {axis}")
        total += shape[axis]
    return (*head, total, *tail)


def _concat_shape(call: Call) -> tuple[Info]:
    present = [found for found in call.inputs if found is not None]
    shapes = [call.shape(index) for index, found in enumerate(call.inputs) if found is not None]
    axis = call.integer("axis", 1 if call.opset < 4 else 0)
    dtype, result = call.dtype(0), joined(call, shapes, axis)
    value = fold(
        lambda *parts: np.concatenate(parts, axis), [found.value for found in present], dtype, result
    )
    return (Info(dtype, result, value),)


@operator("Concat", shape=_concat_shape, category=MOVE)
def concat(call: Call) -> Lowered:
    """Inputs one behind the other; a single one is a view."""
    filled = [
        index for index in range(len(call.node.inputs)) if call.elements(index) or len(call.node.inputs) == 1
    ]
    if len(filled) == 1 and not call.constant(filled[0]):
        return View(filled[0])
    return move_step(call, call.output_elements(), tuple(range(len(call.node.inputs))))


def _even_parts(extent: int, count: int) -> list[int]:
    size = -(-extent // count)
    return [max(0, min(size, extent - size * index)) for index in range(count)]


_UNUSED = 1024
"""Most outputs that a Split may leave unnamed."""


def _split_shape(call: Call) -> tuple[Info, ...]:
    found, shape = call.info(0), call.shape(0)
    axis = call.axis(call.integer("axis", 0), len(shape))
    parts = call.integers_of("split", 1)
    if parts is None:
        count = call.integer("num_outputs", call.output_count)
        if not call.output_count <= count <= call.output_count + _UNUSED:
            raise ShapeConflictError(
                f"it splits into {counted(count, 'part')} but names {counted(call.output_count, 'output')}"
            )
        parts = _even_parts(shape[axis], count)
    if sum(parts) != shape[axis] or min(parts, default=0) < 0 or len(parts) < call.output_count:
        raise ShapeConflictError(f"cannot split {text(shape)} along axis {axis} into {parts}")
    outputs, start = [], 0
    for part in parts:
        value = None
        if found.value is not None:
            value = np.take(found.value, range(start, start + part), axis=axis)
        outputs.append(Info(found.dtype, (*shape[:axis], part, *shape[axis + 1 :]), value))
        start += part
    return tuple(outputs)


@operator("Split", shape=_split_shape, category=MOVE, roots_from=(0,))
def split(call: Call) -> Lowered:
    """Parts of the input; a single one is a view."""
    if len([name for name in call.node.outputs if name]) == 1 and (
        call.elements(0) == call.output_elements()
    ):
        return View(0)
    total = sum(call.output_elements(index) for index in range(len(call.node.outputs)))
    return move_step(call, total, (0,))


def _center_crop_pad_shape(call: Call) -> tuple[Info]:
    shape, target = list(call.shape(0)), call.integers(1)
    axes = call.integer_list("axes")
    axes = list(range(len(shape))) if axes is None else [call.axis(axis, len(shape)) for axis in axes]
    if len(axes) != len(target):
        raise ShapeConflictError(f"{counted(len(target), 'extent')} for {counted(len(axes), 'axis', 'axes')}")
    for axis, extent in zip(axes, target, strict=True):
        shape[axis] = extent
    return (Info(call.dtype(0), tuple(shape)),)


def _pad_shape(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    pads = call.integers_of("paddings" if call.opset < 2 else "pads", 1)
    rank = len(shape)
    axes = [call.axis(axis, rank) for axis in call.integers(3)] if call.has(3) else list(range(rank))
    if pads is None or len(pads) != 2 * len(axes):
        raise ShapeConflictError(f"pads {pads} do not fit {text(shape)}")
    result = list(shape)
    before_after = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        before, after = pads[place], pads[place + len(axes)]
        result[axis] += before + after
        before_after[axis] = (before, after)
    if min(result, default=0) < 0:
        raise ShapeConflictError(f"pads {pads} cut more than {text(shape)} has")
    value = None
    mode = call.text("mode", "constant")
    small = found.value is not None and math.prod(result) <= 2 * found.value.size + 64
    if small and found.value is not None and mode == "constant" and min(pads, default=0) >= 0:
        fill = call.value(2) if call.has(2) else np.array(call.real("value", 0.0))
        if fill is not None and fill.size == 1:
            value = np.pad(found.value, before_after, constant_values=fill.item())
    return (Info(found.dtype, tuple(result), value),)


def _space_and_depth_shape(call: Call) -> tuple[Info]:
    shape, block = call.shape(0), call.integer("blocksize", 1)
    if len(shape) < 3 or block < 1:
        raise ShapeConflictError(f"cannot move blocks of {block} in {text(shape)}")
    batch, channels, *spatial = shape
    area = block ** len(spatial)
    if call.op == "DepthToSpace":
        if channels % area:
            raise ShapeConflictError(f"{channels} channels are no multiple of {area}")
        result = (batch, channels // area, *(extent * block for extent in spatial))
    else:
        result = (batch, channels * area, *(extent // block for extent in spatial))
    return (Info(call.dtype(0), result),)


def _col2im_shape(call: Call) -> tuple[Info]:
    shape, image, block = call.shape(0), call.integers(1), call.integers(2)
    area = 1
    for extent in block:
        area *= extent
    if len(shape) != 3 or area < 1 or shape[1] % area:
        raise ShapeConflictError(f"columns of {text(shape)} do not fit blocks of {text(block)}")
    return (Info(call.dtype(0), (shape[0], shape[1] // area, *image)),)


def trilu_shape(call: Call) -> tuple[Info]:
    """Shape rule of triangles of matrices."""
    found, shape = call.info(0), call.shape(0)
    value = None
    if found.value is not None and (not call.has(1) or call.value(1) is not None):
        diagonal = call.integers(1)[0] if call.has(1) else 0
        diagonal = max(-(1 << 30), min(1 << 30, diagonal))
        value = (np.triu if call.integer("upper", 1) else np.tril)(found.value, diagonal)
    return (Info(found.dtype, shape, value),)


@operator("CenterCropPad", shape=_center_crop_pad_shape, category=MOVE, roots_from=(0,))
@operator("Pad", shape=_pad_shape, category=MOVE, roots_from=(0,))
@operator("DepthToSpace", "SpaceToDepth", shape=_space_and_depth_shape, category=MOVE)
@operator("ReverseSequence", shape=like_first, category=MOVE, roots_from=(0,))
@operator("Col2Im", shape=_col2im_shape, category=MOVE, roots_from=(0,))
@operator("Trilu", shape=trilu_shape, category=MOVE, roots_from=(0,))
def move(call: Call) -> Lowered:
    """Every result is written once; a pad of nothing is a view."""
    if call.op == "Pad" and call.elements(0) == call.output_elements():
        return View(0)
    return move_step(call, call.output_elements(), (0,))
