"""Operators that only look at the same data in another way."""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.node.registry import Treatment, operator, shape_only
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import FREE, Free, View
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import DType
from layerweaver.ir.text import counted


def _shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if "start" in call.attributes or "end" in call.attributes:
        rank = len(shape)
        start, end = call.integer("start", 0), call.integer("end", rank)
        start = min(max(start + rank if start < 0 else start, 0), rank)
        end = min(max(end + rank if end < 0 else end, 0), rank)
        shape = shape[start:end] if start < end else ()
    return (Info(DType.INT64, (len(shape),), np.array(shape, dtype=np.int64), upper=call.info(0).upper),)


def _size_shape(call: Call) -> tuple[Info]:
    return (
        Info(DType.INT64, (), np.array(math.prod(call.shape(0)), dtype=np.int64), upper=call.info(0).upper),
    )


@operator("Shape", shape=_shape, treatment=Treatment.CONSTANT, roots_from=(), values_from=())
@operator("Size", shape=_size_shape, treatment=Treatment.CONSTANT, roots_from=(), values_from=())
def free(_call: Call) -> Free:
    """Known before anything runs, or read off a descriptor."""
    return FREE


def _identity_shape(call: Call) -> tuple[Info]:
    found = call.info(0)
    return (Info(found.dtype, found.shape, found.value, elements=found.elements, absent=found.absent),)


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


def _reshape_shape(call: Call) -> tuple[Info]:
    found = call.info(0)
    target = call.integers_of("shape", 1)
    if target is None:
        raise ShapeConflictError("it names no target shape")
    if min(target, default=1) > 0 and (found.shape is None or found.upper):
        return (Info(found.dtype, tuple(target), upper=None),)  # told in full, whatever comes in
    shape = reshaped(call.shape(0), target, bool(call.integer("allowzero", 0)))
    value = found.value
    return (Info(found.dtype, shape, None if value is None else value.reshape(shape)),)


def _flatten_shape(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    axis = call.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    if not 0 <= axis <= len(shape):
        raise ShapeConflictError(f"axis {axis} is out of range for {counted(len(shape), 'axis', 'axes')}")
    flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    return (Info(found.dtype, flat, None if found.value is None else found.value.reshape(flat)),)


def _squeeze_shape(call: Call) -> tuple[Info]:
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


def _unsqueeze_shape(call: Call) -> tuple[Info]:
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


def _bit_cast_shape(call: Call) -> tuple[Info]:
    source, target = call.dtype(0), ONNX_TYPES.get(call.integer("to", 0), DType.UNDEFINED)
    shape = call.shape(0)
    if source.bits != target.bits and shape:
        last = shape[-1] * source.bits // target.bits
        shape = (*shape[:-1], last)
    return (Info(target, shape),)


@operator("Identity", shape=_identity_shape, treatment=Treatment.VIEW)
@operator("Reshape", shape=_reshape_shape, treatment=Treatment.VIEW, roots_from=(0,))
@operator("Flatten", shape=_flatten_shape, treatment=Treatment.VIEW)
@operator("Squeeze", shape=_squeeze_shape, treatment=Treatment.VIEW, roots_from=(0,))
@operator("Unsqueeze", shape=_unsqueeze_shape, treatment=Treatment.VIEW, roots_from=(0,))
@operator("BitCast", shape=_bit_cast_shape, treatment=Treatment.VIEW)
def view(_call: Call) -> View:
    """The result is stored where the first operand is."""
    return View(0)


def _dropout_shape(call: Call) -> tuple[Info, ...]:
    found, shape = call.info(0), call.shape(0)
    mask = DType.BOOL if call.opset >= 10 else found.dtype
    mode = call.value(2)
    inference = not call.has(2) or (mode is not None and not mode.any())
    return (Info(found.dtype, shape, found.value if inference else None), Info(mask, shape))


@operator("Dropout", shape=_dropout_shape, treatment=Treatment.VIEW, roots_from=(0,))
def dropout(_call: Call) -> View:
    """Inference: nothing is dropped."""
    return View(0)


shape_only("GreedyIdentity", shape=_identity_shape, domain="")
