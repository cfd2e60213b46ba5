"""Shapes and values of operators that rearrange, join and cut tensors without computing."""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.propagate.call import Call, rule
from layerweaver.frontend.propagate.values import Array, Info, ShapeConflictError, storable, text
from layerweaver.ir.dtypes import DType

__all__ = ["reshaped"]

_UNUSED = 1024
"""Most outputs that a Split may leave unnamed."""


@rule("Shape", values_from=(), roots_from=())
def _shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if "start" in call.attributes or "end" in call.attributes:
        rank = len(shape)
        start, end = call.integer("start", 0), call.integer("end", rank)
        start = min(max(start + rank if start < 0 else start, 0), rank)
        end = min(max(end + rank if end < 0 else end, 0), rank)
        shape = shape[start:end] if start < end else ()
    return (Info(DType.INT64, (len(shape),), np.array(shape, dtype=np.int64), upper=call.info(0).upper),)


@rule("Size", values_from=(), roots_from=())
def _size(call: Call) -> tuple[Info]:
    return (Info(DType.INT64, (), np.array(call.elements(0), dtype=np.int64), upper=call.info(0).upper),)


def reshaped(shape: tuple[int, ...], target: list[int], allow_zero: bool) -> tuple[int, ...]:
    """Shape after Reshape to ``target``, in which 0 copies an extent and one -1 is worked out.

    Raises:
        ShapeConflictError: The numbers of elements differ or ``target`` is malformed.
    """
    result = list(target)
    if not allow_zero:
        for axis, extent in enumerate(target):
            if extent == 0:
                if axis >= len(shape):
                    raise ShapeConflictError(
                        f"cannot reshape {text(shape)} to {target}: no axis {axis} to copy"
                    )
                result[axis] = shape[axis]
    total = math.prod(shape)
    unknown = [axis for axis, extent in enumerate(result) if extent == -1]
    if len(unknown) > 1 or any(extent < -1 for extent in result):
        raise ShapeConflictError(f"cannot reshape {text(shape)} to {target}: not a shape")
    if unknown:
        rest = -math.prod(result)
        if rest == 0:
            if total:
                raise ShapeConflictError(f"cannot reshape {text(shape)} to {target}")
            result[unknown[0]] = 0
        elif total % rest:
            raise ShapeConflictError(
                f"cannot reshape {text(shape)} to {target}: {total} is no multiple of {rest}"
            )
        else:
            result[unknown[0]] = total // rest
    elif math.prod(result) != total:
        raise ShapeConflictError(
            f"cannot reshape {text(shape)} to {text(result)}: the numbers of elements differ"
        )
    return tuple(result)


@rule("Reshape", roots_from=(0,))
def _reshape(call: Call) -> tuple[Info]:
    found = call.info(0)
    target = call.integers_of("shape", 1)
    if target is None:
        raise ShapeConflictError("it names no target shape")
    shape = reshaped(call.shape(0), target, bool(call.integer("allowzero", 0)))
    value = found.value
    return (Info(found.dtype, shape, None if value is None else value.reshape(shape)),)


@rule("Flatten")
def _flatten(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    axis = call.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    if not 0 <= axis <= len(shape):
        raise ShapeConflictError(f"axis {axis} is out of range for {len(shape)} axes")
    flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    return (Info(found.dtype, flat, None if found.value is None else found.value.reshape(flat)),)


@rule("Squeeze", roots_from=(0,))
def _squeeze(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    axes = call.integers_of("axes", 1)
    if axes is None:
        kept = [axis for axis, extent in enumerate(shape) if extent != 1]
    else:
        dropped = {call.axis(axis, len(shape)) for axis in axes}
        if any(shape[axis] != 1 for axis in dropped):
            raise ShapeConflictError(f"cannot squeeze axes {sorted(dropped)} of {text(shape)}")
        kept = [axis for axis in range(len(shape)) if axis not in dropped]
    result = tuple(shape[axis] for axis in kept)
    return (Info(found.dtype, result, None if found.value is None else found.value.reshape(result)),)


@rule("Unsqueeze", roots_from=(0,))
def _unsqueeze(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    axes = call.integers_of("axes", 1)
    if axes is None:
        raise ShapeConflictError("it names no axes")
    rank = len(shape) + len(axes)
    places = sorted({call.axis(axis, rank) for axis in axes})
    if len(places) != len(axes):
        raise ShapeConflictError(f"axes {axes} are not distinct")
    result = list(shape)
    for place in places:
        result.insert(place, 1)
    value = found.value
    return (Info(found.dtype, tuple(result), None if value is None else value.reshape(result)),)


@rule("Transpose")
def _transpose(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    order = call.integer_list("perm")
    if order is None:
        order = list(range(len(shape)))[::-1]
    if sorted(order) != list(range(len(shape))):
        raise ShapeConflictError(f"perm {order} does not permute the axes of {text(shape)}")
    value = None if found.value is None else found.value.transpose(order)
    return (Info(found.dtype, tuple([shape[axis] for axis in order]), value),)


@rule("Concat")
def _concat(call: Call) -> tuple[Info]:
    shapes = [call.shape(index) for index, found in enumerate(call.inputs) if found is not None]
    if not shapes:
        raise ShapeConflictError("it has no inputs")
    first = shapes[0]
    axis = call.axis(call.integer("axis", 1 if call.opset < 4 else 0), len(first))
    total = 0
    head, tail = first[:axis], first[axis + 1 :]
    for shape in shapes:
        if len(shape) != len(first) or shape[:axis] != head or shape[axis + 1 :] != tail:
            raise ShapeConflictError(f"cannot join {text(first)} and {text(shape)} along axis {axis}")
        total += shape[axis]
    result = (*head, total, *tail)
    return (Info(call.dtype(0), result, _joined(call, axis, result)),)


def _joined(call: Call, axis: int, shape: tuple[int, ...]) -> Array | None:
    values = []
    for found in call.inputs:
        if found is not None:
            if found.value is None:
                return None
            values.append(found.value)
    return storable(np.concatenate(values, axis), call.dtype(0), shape)


def _even_parts(extent: int, count: int) -> list[int]:
    size = -(-extent // count)
    return [max(0, min(size, extent - size * index)) for index in range(count)]


@rule("Split", roots_from=(0,))
def _split(call: Call) -> tuple[Info, ...]:
    found, shape = call.info(0), call.shape(0)
    axis = call.axis(call.integer("axis", 0), len(shape))
    parts = call.integers_of("split", 1)
    if parts is None:
        count = call.integer("num_outputs", call.output_count)
        if not call.output_count <= count <= call.output_count + _UNUSED:
            raise ShapeConflictError(f"it splits into {count} parts but names {call.output_count} outputs")
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


def _repeated(call: Call) -> list[int]:
    repeats = call.integers(1)
    if call.opset < 6 and call.has(2) and len(repeats) == 1:
        axis = call.integers(2)[0]
        return [repeats[0] if index == axis else 1 for index in range(len(call.shape(0)))]
    return repeats


@rule("Tile", roots_from=(0,))
def _tile(call: Call) -> tuple[Info]:
    found, shape, repeats = call.info(0), call.shape(0), _repeated(call)
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        raise ShapeConflictError(f"cannot tile {text(shape)} by {repeats}")
    result = tuple(extent * times for extent, times in zip(shape, repeats, strict=True))
    value = None
    if found.value is not None and math.prod(result) <= found.value.size * 64:
        value = storable(np.tile(found.value, repeats), found.dtype, result)
    return (Info(found.dtype, result, value),)


@rule("Expand", roots_from=(0,))
def _expand(call: Call) -> tuple[Info]:
    found, shape, target = call.info(0), call.shape(0), call.integers(1)
    rank = max(len(shape), len(target))
    left = (1,) * (rank - len(shape)) + shape
    right = [1] * (rank - len(target)) + target
    if any(a != b and 1 not in (a, b) for a, b in zip(left, right, strict=True)) or min(right, default=0) < 0:
        raise ShapeConflictError(f"cannot expand {text(shape)} to {target}")
    result = tuple(a if b == 1 else b for a, b in zip(left, right, strict=True))
    value = found.value
    return (Info(found.dtype, result, None if value is None else _spread(value, found.dtype, result)),)


def _spread(value: Array, dtype: DType, shape: tuple[int, ...]) -> Array | None:
    return storable(np.broadcast_to(value, shape), dtype, shape)


@rule("DepthToSpace", "SpaceToDepth")
def _space_and_depth(call: Call) -> tuple[Info]:
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


@rule("Trilu", roots_from=(0,))
def _trilu(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    value = None
    if found.value is not None and (not call.has(1) or call.value(1) is not None):
        diagonal = call.integers(1)[0] if call.has(1) else 0
        diagonal = max(-(1 << 30), min(1 << 30, diagonal))
        value = (np.triu if call.integer("upper", 1) else np.tril)(found.value, diagonal)
    return (Info(found.dtype, shape, value),)


@rule("ReverseSequence", roots_from=(0,))
def _reverse_sequence(call: Call) -> tuple[Info]:
    return call.like(0)


@rule("CenterCropPad", roots_from=(0,))
def _center_crop_pad(call: Call) -> tuple[Info]:
    shape, target = list(call.shape(0)), call.integers(1)
    axes = call.integer_list("axes")
    axes = list(range(len(shape))) if axes is None else [call.axis(axis, len(shape)) for axis in axes]
    if len(axes) != len(target):
        raise ShapeConflictError(f"{len(target)} extents are given for {len(axes)} axes")
    for axis, extent in zip(axes, target, strict=True):
        shape[axis] = extent
    return (Info(call.dtype(0), tuple(shape)),)


@rule("Pad", roots_from=(0,))
def _pad(call: Call) -> tuple[Info]:
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
