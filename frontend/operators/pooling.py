"""Pooling."""

from __future__ import annotations

import math

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import MICROSOFT, NCHWC, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.convolution import _pads, _per_axis, _windows
from layerweaver.frontend.operators.elementwise import vector_step
from layerweaver.ir import LayerKind, VectorCategory
from layerweaver.ir.dtypes import DType

__all__ = ["pooled"]


POOLING = VectorCategory.POOLING


REDUCTION = VectorCategory.REDUCTION


@lowers("MaxPool", "AveragePool", "LpPool", category=POOLING)
@lowers("MaxpoolWithMask", "NhwcMaxPool", domain=MICROSOFT, category=POOLING)
@lowers("MaxPool", "AveragePool", domain=NCHWC, category=POOLING)
def pool(operation: Operation) -> Step:
    """Every output looks at the kernel's window."""
    window = math.prod(operation.integers("kernel_shape", (1,)))
    return vector_step(operation, POOLING, operation.output_elements(), window=max(1, window), parameters=())


@lowers("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", category=REDUCTION)
@lowers("GlobalAveragePool", "GlobalMaxPool", domain=NCHWC, category=REDUCTION)
def global_pool(operation: Operation) -> Step:
    """Every input element is read once."""
    return vector_step(operation, REDUCTION, operation.elements(0), parameters=())


@lowers("MaxRoiPool", category=POOLING)
def roi_pool(operation: Operation) -> Step:
    """Every region divides the image among its cells: at most one read per input pixel and region."""
    image = operation.shape(0, least_rank=4)
    output = operation.output_shape(0, least_rank=4)
    window = max(1, -(-image[2] * image[3] // max(1, output[2] * output[3])))
    return vector_step(operation, POOLING, operation.output_elements(), window=window, parameters=())


@lowers("RoiAlign", category=POOLING)
def roi_align(operation: Operation) -> Step:
    """Bilinear samples (four reads each) per cell; an adaptive ratio counts as two per axis."""
    samples = (operation.integer("sampling_ratio", 0) or 2) ** 2
    return vector_step(operation, POOLING, operation.output_elements(), window=4 * samples, parameters=())


@lowers("MaxUnpool", treatment="move", category=VectorCategory.MOVE)
def unpool(operation: Operation) -> Step:
    """Values go back to where they came from."""
    return vector_step(
        operation,
        VectorCategory.MOVE,
        operation.output_elements(),
        kind=LayerKind.MOVE,
        parameters=(),
    )


def pooled(call: Call, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Output shape of pooling ``shape`` (N, C, ...).

    Raises:
        ShapeConflictError: The windows do not fit.
    """
    kernel = call.integer_list("kernel_shape")
    if kernel is None or len(shape) < 3 or len(kernel) != len(shape) - 2 or min(kernel) < 1:
        raise ShapeConflictError(f"kernel_shape {kernel} does not fit an input of {text(shape)}")
    return (*shape[:2], *_windows(call, shape[2:], kernel, ceil=bool(call.integer("ceil_mode", 0))))


@rule("AveragePool", "LpPool")
def _pool(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), pooled(call, call.shape(0))),)


@rule("MaxPool")
def _max_pool(call: Call) -> tuple[Info, Info]:
    shape = pooled(call, call.shape(0))
    return Info(call.dtype(0), shape), Info(DType.INT64, shape)


def _channels_last(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if len(shape) < 3:
        raise ShapeConflictError(f"cannot pool {text(shape)}")
    batch, channels, *spatial = pooled(call, (shape[0], shape[-1], *shape[1:-1]))
    return (Info(call.dtype(0), (batch, *spatial, channels)),)


rule("NhwcMaxPool", domain=MICROSOFT)(_channels_last)


@rule("QLinearAveragePool", domain=MICROSOFT)
def _q_linear_average_pool(call: Call) -> tuple[Info]:
    if call.integer("channels_last", 0):
        return _channels_last(call)
    return (Info(call.dtype(0), pooled(call, call.shape(0))),)


@rule("QLinearGlobalAveragePool", domain=MICROSOFT)
def _q_linear_global_average_pool(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if call.integer("channels_last", 0):
        return (Info(call.dtype(0), (shape[0], *(1,) * (len(shape) - 2), shape[-1])),)
    return (Info(call.dtype(0), (*shape[:2], *(1,) * (len(shape) - 2))),)


@rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global_pool(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    return (Info(call.dtype(0), (*shape[:2], *(1,) * (len(shape) - 2))),)


@rule("MaxUnpool", roots_from=(0,))
def _max_unpool(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if call.has(2):
        return (Info(call.dtype(0), tuple(call.integers(2))),)
    kernel = call.integer_list("kernel_shape") or []
    count = len(kernel)
    if count != len(shape) - 2:
        raise ShapeConflictError(f"kernel_shape {kernel} does not fit an input of {text(shape)}")
    strides, pads = _per_axis(call, "strides", count, 1), _pads(call, count)
    spatial = [
        strides[axis] * (shape[axis + 2] - 1) + kernel[axis] - pads[axis] - pads[axis + count]
        for axis in range(count)
    ]
    return (Info(call.dtype(0), (*shape[:2], *spatial)),)


@rule("MaxRoiPool")
def _max_roi_pool(call: Call) -> tuple[Info]:
    pooled_shape = call.integer_list("pooled_shape") or []
    return (Info(call.dtype(0), (call.shape(1)[0], call.shape(0)[1], *pooled_shape)),)


@rule("RoiAlign")
def _roi_align(call: Call) -> tuple[Info]:
    size = (call.integer("output_height", 1), call.integer("output_width", 1))
    return (Info(call.dtype(0), (call.shape(1)[0], call.shape(0)[1], *size)),)
