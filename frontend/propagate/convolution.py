"""Shapes of convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence

from layerweaver.frontend.propagate.call import MICROSOFT, Call, rule
from layerweaver.frontend.propagate.values import Info, ShapeConflictError, text
from layerweaver.ir.dtypes import DType

__all__ = ["convolved", "pooled"]


def _per_axis(call: Call, name: str, count: int, default: int) -> list[int]:
    found = call.integer_list(name)
    if not found:
        return [default] * count
    if len(found) != count or min(found) < 0 or (name != "output_padding" and min(found) < 1):
        raise ShapeConflictError(f"{name} {found} do not fit {count} spatial axes")
    return found


def _pads(call: Call, count: int) -> list[int]:
    found = call.integer_list("pads")
    if not found:
        return [0] * (2 * count)
    if len(found) != 2 * count:
        raise ShapeConflictError(f"pads {found} do not fit {count} spatial axes")
    return found


def _windows(call: Call, spatial: Sequence[int], kernel: Sequence[int], *, ceil: bool) -> tuple[int, ...]:
    count = len(spatial)
    strides = _per_axis(call, "strides", count, 1)
    dilations = _per_axis(call, "dilations", count, 1)
    pads = _pads(call, count)
    auto_pad = call.text("auto_pad", "NOTSET") or "NOTSET"
    result = []
    for axis in range(count):
        extent, stride = spatial[axis], strides[axis]
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            result.append(-(-extent // stride))
            continue
        before, after = (0, 0) if auto_pad == "VALID" else (pads[axis], pads[axis + count])
        room = extent + before + after - reach
        if room < 0:
            raise ShapeConflictError(
                f"a window of {text(kernel)} (dilated to {reach} on axis {axis}) does not fit the input's"
                f" {text(spatial)} with pads {pads}"
            )
        windows = room // stride + 1
        if ceil and room % stride and windows * stride < extent + before:
            windows += 1
        result.append(windows)
    return tuple(result)


def convolved(call: Call, shape: tuple[int, ...], weight: tuple[int, ...]) -> tuple[int, ...]:
    """Output shape of a convolution of ``shape`` (N, C, ...) by ``weight`` (M, C / group, ...).

    Raises:
        ShapeConflictError: Channels or windows do not fit.
    """
    if len(shape) < 2 or len(weight) != len(shape):
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    group = call.integer("group", 1)
    if group < 1 or shape[1] != weight[1] * group or weight[0] % group:
        raise ShapeConflictError(
            f"an input of {text(shape)} does not fit weights of {text(weight)} in {group} groups"
        )
    kernel = call.integer_list("kernel_shape") or list(weight[2:])
    if len(kernel) != len(shape) - 2 or tuple(kernel) != weight[2:]:
        raise ShapeConflictError(f"kernel_shape {kernel} does not fit weights of {text(weight)}")
    return (shape[0], weight[0], *_windows(call, shape[2:], kernel, ceil=False))


@rule("Conv", foldable=False)
def _conv(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), convolved(call, call.shape(0), call.shape(1))),)


@rule("FusedConv", domain=MICROSOFT, foldable=False)
def _fused_conv(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), convolved(call, call.shape(0), call.shape(1))),)


@rule("NhwcConv", "NhwcFusedConv", domain=MICROSOFT, foldable=False)
def _nhwc_conv(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0), call.shape(1)
    if len(shape) < 3 or len(weight) != len(shape):
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    batch, channels, *spatial = convolved(
        call, (shape[0], shape[-1], *shape[1:-1]), (weight[0], weight[-1], *weight[1:-1])
    )
    return (Info(call.dtype(0), (batch, *spatial, channels)),)


@rule("ConvInteger", foldable=False)
def _conv_integer(call: Call) -> tuple[Info]:
    return (Info(DType.INT32, convolved(call, call.shape(0), call.shape(1))),)


def _q_linear_conv(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0), call.shape(3)
    dtype = call.dtype(7) if call.has(7) else call.dtype(0)
    if call.integer("channels_last", 0) and len(shape) > 2:
        batch, channels, *spatial = convolved(call, (shape[0], shape[-1], *shape[1:-1]), weight)
        return (Info(dtype, (batch, *spatial, channels)),)
    return (Info(dtype, convolved(call, shape, weight)),)


rule("QLinearConv", foldable=False)(_q_linear_conv)
rule("QLinearConv", domain=MICROSOFT, foldable=False)(_q_linear_conv)


@rule("DeformConv", foldable=False)
def _deform_conv(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), convolved(call, call.shape(0), call.shape(1))),)


@rule("CausalConvWithState", foldable=False)
def _causal_conv(call: Call) -> tuple[Info, Info]:
    shape, weight = call.shape(0), call.shape(1)
    if len(shape) != 3 or len(weight) != 3 or shape[1] != weight[0]:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    dtype = call.dtype(0)
    return Info(dtype, shape), Info(dtype, (shape[0], shape[1], weight[2] - 1))


def _transposed_weights(call: Call) -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
    shape, weight = call.shape(0), call.shape(1)
    if len(shape) < 2 or len(weight) != len(shape) or shape[1] != weight[0]:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    if weight[0] % max(call.integer("group", 1), 1):
        raise ShapeConflictError(f"weights of {text(weight)} do not fit {call.integer('group', 1)} groups")
    return shape, weight, call.integer_list("kernel_shape") or list(weight[2:])


def _conv_transpose(call: Call) -> tuple[Info]:
    shape, weight, kernel = _transposed_weights(call)
    count = len(shape) - 2
    if len(kernel) != count:
        raise ShapeConflictError(f"kernel_shape {kernel} does not fit weights of {text(weight)}")
    head = (shape[0], weight[1] * call.integer("group", 1))
    strides = _per_axis(call, "strides", count, 1)
    dilations = _per_axis(call, "dilations", count, 1)
    extra = _per_axis(call, "output_padding", count, 0)
    dynamic = call.op == "ConvTransposeWithDynamicPads" and call.has(2)
    pads = call.integers(2) if dynamic else _pads(call, count)
    if len(pads) != 2 * count:
        raise ShapeConflictError(f"pads {pads} do not fit {count} spatial axes")
    auto_pad = call.text("auto_pad", "NOTSET") or "NOTSET"
    explicit = call.integer_list("output_shape")
    if explicit:
        if len(explicit) < count or min(explicit) < 1:
            raise ShapeConflictError(f"output_shape {explicit} does not fit {count} spatial axes")
        return (Info(call.dtype(0), (*head, *explicit[len(explicit) - count :])),)
    spatial = []
    for axis in range(count):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            spatial.append(shape[axis + 2] * strides[axis])
            continue
        margin = 0 if auto_pad == "VALID" else pads[axis] + pads[axis + count]
        spatial.append(strides[axis] * (shape[axis + 2] - 1) + extra[axis] + reach - margin)
    if min(spatial, default=1) < 1:
        raise ShapeConflictError(f"pads {pads} cut away all of the output of {text(spatial)}")
    return (Info(call.dtype(0), (*head, *spatial)),)


rule("ConvTranspose", foldable=False)(_conv_transpose)
rule("ConvTransposeWithDynamicPads", domain=MICROSOFT, foldable=False)(_conv_transpose)


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


@rule("Col2Im", roots_from=(0,))
def _col2im(call: Call) -> tuple[Info]:
    shape, image, block = call.shape(0), call.integers(1), call.integers(2)
    area = 1
    for extent in block:
        area *= extent
    if len(shape) != 3 or area < 1 or shape[1] % area:
        raise ShapeConflictError(f"columns of {text(shape)} do not fit blocks of {text(block)}")
    return (Info(call.dtype(0), (shape[0], shape[1] // area, *image)),)
