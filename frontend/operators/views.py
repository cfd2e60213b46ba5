"""Operators that only look at the same data in another way."""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import Treatment, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.work import View
from layerweaver.ir.dtypes import DType

__all__ = ["reshaped"]


@lowers("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "BitCast", treatment=Treatment.VIEW)
@lowers("Optional", "OptionalGetElement", treatment=Treatment.VIEW)
def view(_operation: Operation) -> View:
    """The result is stored where the first operand is."""
    return View(0)


@lowers("Dropout", treatment=Treatment.VIEW)
def dropout(_operation: Operation) -> View:
    """Inference: nothing is dropped."""
    return View(0)


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
