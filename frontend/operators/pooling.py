"""Pooling."""

from __future__ import annotations

import math

from layerweaver.frontend.node.registry import MICROSOFT, NCHWC, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.convolution import pads_of, per_axis, windows
from layerweaver.frontend.operators.elementwise import vector_step
from layerweaver.frontend.operators.movement import MOVE, move_step
from layerweaver.frontend.operators.reduction import REDUCTION
from layerweaver.ir import DType, VectorCategory

POOLING = VectorCategory.POOLING


def pooled(call: Call, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Output shape of pooling ``shape`` (N, C, ...).

    Raises:
        ShapeConflictError: The windows do not fit.
    """
    kernel = call.integer_list("kernel_shape")
    if kernel is None or len(shape) < 3 or len(kernel) != len(shape) - 2 or min(kernel) < 1:
        raise ShapeConflictError(f"kernel_shape {kernel} does not fit an input of {text(shape)}")
    return (*shape[:2], *windows(call, shape[2:], kernel, ceil=bool(call.integer("ceil_mode", 0))))


def _max_pool_shape(call: Call) -> tuple[Info, Info]:
    shape = pooled(call, call.shape(0))
    return Info(call.dtype(0), shape), Info(DType.INT64, shape)


def _pool_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), pooled(call, call.shape(0))),)


def channels_last_shape(call: Call) -> tuple[Info]:
    """Shape rule of pooling whose channels are in the last axis."""
    shape = call.shape(0)
    if len(shape) < 3:
        raise ShapeConflictError(f"cannot pool {text(shape)}")
    batch, channels, *spatial = pooled(call, (shape[0], shape[-1], *shape[1:-1]))
    return (Info(call.dtype(0), (batch, *spatial, channels)),)


@operator("MaxPool", shape=_max_pool_shape, category=POOLING)
@operator("AveragePool", "LpPool", shape=_pool_shape, category=POOLING)
@operator("MaxpoolWithMask", domain=MICROSOFT, shape=_max_pool_shape, category=POOLING)
@operator("NhwcMaxPool", domain=MICROSOFT, shape=channels_last_shape, category=POOLING)
@operator("MaxPool", domain=NCHWC, shape=_max_pool_shape, category=POOLING)
@operator("AveragePool", domain=NCHWC, shape=_pool_shape, category=POOLING)
def pool(call: Call) -> Step:
    """Every output looks at the kernel's window."""
    window = math.prod(tuple(call.integer_list("kernel_shape") or (1,)))
    return vector_step(call, POOLING, call.output_elements(), window=max(1, window), parameters=())


def _global_pool_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    return (Info(call.dtype(0), (*shape[:2], *(1,) * (len(shape) - 2))),)


@operator("GlobalAveragePool", "GlobalMaxPool", shape=_global_pool_shape, category=REDUCTION)
@operator("GlobalLpPool", shape=_global_pool_shape, category=REDUCTION)
@operator("GlobalAveragePool", "GlobalMaxPool", domain=NCHWC, shape=_global_pool_shape, category=REDUCTION)
def global_pool(call: Call) -> Step:
    """Every input element is read once."""
    return vector_step(call, REDUCTION, call.elements(0), parameters=())


def _max_roi_pool_shape(call: Call) -> tuple[Info]:
    pooled_shape = call.integer_list("pooled_shape") or []
    return (Info(call.dtype(0), (call.shape(1)[0], call.shape(0)[1], *pooled_shape)),)


@operator("MaxRoiPool", shape=_max_roi_pool_shape, category=POOLING)
def roi_pool(call: Call) -> Step:
    """Every region divides the image among its cells: at most one read per input pixel and region."""
    image = call.shape(0, least_rank=4)
    output = call.output_shape(0, least_rank=4)
    window = max(1, -(-image[2] * image[3] // max(1, output[2] * output[3])))
    return vector_step(call, POOLING, call.output_elements(), window=window, parameters=())


def _roi_align_shape(call: Call) -> tuple[Info]:
    size = (call.integer("output_height", 1), call.integer("output_width", 1))
    return (Info(call.dtype(0), (call.shape(1)[0], call.shape(0)[1], *size)),)


@operator("RoiAlign", shape=_roi_align_shape, category=POOLING)
def roi_align(call: Call) -> Step:
    """Bilinear samples (four reads each) per cell; an adaptive ratio counts as two per axis."""
    samples = (call.integer("sampling_ratio", 0) or 2) ** 2
    return vector_step(call, POOLING, call.output_elements(), window=4 * samples, parameters=())


def _max_unpool_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if call.has(2):
        return (Info(call.dtype(0), tuple(call.integers(2))),)
    kernel = call.integer_list("kernel_shape") or []
    count = len(kernel)
    if count != len(shape) - 2:
        raise ShapeConflictError(f"kernel_shape {kernel} does not fit an input of {text(shape)}")
    strides, pads = per_axis(call, "strides", count, 1), pads_of(call, count)
    spatial = [
        strides[axis] * (shape[axis + 2] - 1) + kernel[axis] - pads[axis] - pads[axis + count]
        for axis in range(count)
    ]
    return (Info(call.dtype(0), (*shape[:2], *spatial)),)


@operator("MaxUnpool", shape=_max_unpool_shape, category=MOVE, roots_from=(0,))
def unpool(call: Call) -> Step:
    """Values go back to where they came from."""
    return move_step(call, call.output_elements(), ())
