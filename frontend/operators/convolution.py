"""Convolutions of any rank: plain, transposed, deformable and integer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerweaver.frontend.node.registry import MATRIX, MICROSOFT, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step, WeightRead
from layerweaver.ir import ConvGeometry, DType, LayerKind, MatrixWork, VectorCategory, VectorWork


def filters_last(channels: int, weights: tuple[int, ...], groups: int) -> bool:
    """Whether weights for a channels-last image of ``channels`` have theirs last too, as few kernels ask."""
    return weights[1] * groups != channels and weights[-1] * groups == channels


def convolution(
    call: Call,
    *,
    weight: int = 1,
    parameters: tuple[WeightRead, ...] = (),
    vector: tuple[VectorWork, ...] = (),
    channels_last: bool = False,
) -> Step:
    """M = output pixels x batch, K = kernel area x input channels per group, N = output channels per group.

    Args:
        call: The node; operand 0 is the image, result 0 the output.
        weight: Index of the weights, of shape (output channels, input channels per group, kernel...).
        parameters: Everything constant that is fetched.
        vector: Work fused into the operator.
        channels_last: Whether image and output keep their channels in the last axis.
    """
    image = call.shape(0, least_rank=3)
    weights = call.shape(weight, least_rank=3)
    output = call.output_shape(0, least_rank=3)
    groups = call.integer("group", 1)
    if groups < 1 or weights[0] % groups:
        raise ShapeConflictError(
            f"{weights[0]} output channels cannot be divided into {groups} groups",
            accepted="a positive group count that divides the channels",
        )
    last = channels_last and filters_last(image[-1], weights, groups)
    kernel, in_channels = (weights[1:-1], weights[-1]) if last else (weights[2:], weights[1])
    spatial = len(weights) - 2
    ones = (1,) * spatial
    pixels = output[1:-1] if channels_last else output[2:]
    work = MatrixWork(
        groups=groups,
        m=output[0] * math.prod(pixels),
        n=weights[0] // groups,
        k=math.prod(weights[1:]),
        weights=call.constant(weight),
        batch_axis=axis_for(call.batched),
        conv=ConvGeometry(
            kernel=kernel,
            strides=tuple(call.integer_list("strides") or ones),
            dilations=tuple(call.integer_list("dilations") or ones),
            input_size=image[1:-1] if channels_last else image[2:],
            output_size=pixels,
            in_channels=in_channels,
            out_channels=weights[0] // groups,
        ),
    )
    return Step(LayerKind.MATRIX, matrix=work, weights=parameters, vector=vector)


def per_axis(call: Call, name: str, count: int, default: int) -> list[int]:
    """Attribute ``name`` with one number per spatial axis."""
    found = call.integer_list(name)
    if found is None:
        return [default] * count
    if (
        len(found) != count
        or min(found, default=0) < 0
        or (name != "output_padding" and min(found, default=1) < 1)
    ):
        raise ShapeConflictError(f"{name} {found} do not fit {count} spatial axes")
    return found


def pads_of(call: Call, count: int) -> list[int]:
    """Attribute ``pads``: those before every spatial axis, then those behind."""
    found = call.integer_list("pads")
    if found is None:
        return [0] * (2 * count)
    if len(found) != 2 * count:
        raise ShapeConflictError(f"pads {found} do not fit {count} spatial axes")
    return found


def windows(call: Call, spatial: Sequence[int], kernel: Sequence[int], *, ceil: bool) -> tuple[int, ...]:
    """How many windows of ``kernel`` fit on each spatial axis."""
    count = len(spatial)
    strides = per_axis(call, "strides", count, 1)
    dilations = per_axis(call, "dilations", count, 1)
    pads = pads_of(call, count)
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
    kernel = call.integer_list("kernel_shape")
    kernel = list(weight[2:]) if kernel is None else kernel
    if len(kernel) != len(shape) - 2 or tuple(kernel) != weight[2:]:
        raise ShapeConflictError(f"kernel_shape {kernel} does not fit weights of {text(weight)}")
    return (shape[0], weight[0], *windows(call, shape[2:], kernel, ceil=False))


def conv_shape(call: Call) -> tuple[Info]:
    """Shape rule of convolutions by their second input."""
    return (Info(call.dtype(0), convolved(call, call.shape(0), call.shape(1))),)


@operator("Conv", shape=conv_shape, treatment=MATRIX)
def conv(call: Call) -> Step:
    """Convolution; the bias rides along."""
    return convolution(call, parameters=call.weights(1, 2))


def _conv_integer_shape(call: Call) -> tuple[Info]:
    return (Info(DType.INT32, convolved(call, call.shape(0), call.shape(1))),)


@operator("ConvInteger", shape=_conv_integer_shape, treatment=MATRIX)
def conv_integer(call: Call) -> Step:
    """Integer convolution with zero points."""
    return convolution(call, parameters=call.weights(1) + call.weights(2, 3, role="vector"))


def _q_linear_conv_shape(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0), call.shape(3)
    dtype = call.dtype(7) if call.has(7) else call.dtype(0)
    if call.integer("channels_last", 0) and len(shape) > 2:
        batch, channels, *spatial = convolved(call, (shape[0], shape[-1], *shape[1:-1]), weight)
        return (Info(dtype, (batch, *spatial, channels)),)
    return (Info(dtype, convolved(call, shape, weight)),)


@operator("QLinearConv", shape=_q_linear_conv_shape, treatment=MATRIX)
@operator("QLinearConv", domain=MICROSOFT, shape=_q_linear_conv_shape, treatment=MATRIX)
def quantized_conv(call: Call) -> Step:
    """Quantised convolution: requantising the sums is elementwise work."""
    return convolution(
        call,
        weight=3,
        parameters=call.weights(3, 8) + call.weights(1, 2, 4, 5, 6, 7, role="vector"),
        vector=(call.vector(VectorCategory.ELEMENTWISE, call.output_elements()),),
        channels_last=call.integer("channels_last", 0) == 1,
    )


@operator("DeformConv", shape=conv_shape, treatment=MATRIX)
def deformable_conv(call: Call) -> Step:
    """Deformable convolution: the products of a convolution, and four samples per kernel position."""
    step = convolution(call, parameters=call.weights(1, 3))
    image = call.shape(0)
    area = math.prod(call.shape(1)[2:])
    samples = math.prod(call.output_shape()[2:]) * image[0] * image[1] * area
    sampling = call.vector(VectorCategory.ELEMENTWISE, samples, window=4)
    return Step(step.kind, matrix=step.matrix, weights=step.weights, vector=(sampling,))


def _transposed_weights(call: Call) -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
    shape, weight = call.shape(0), call.shape(1)
    if len(shape) < 2 or len(weight) != len(shape) or shape[1] != weight[0]:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    if weight[0] % max(call.integer("group", 1), 1):
        raise ShapeConflictError(f"weights of {text(weight)} do not fit {call.integer('group', 1)} groups")
    kernel = call.integer_list("kernel_shape")
    return shape, weight, list(weight[2:]) if kernel is None else kernel


def conv_transpose_shape(call: Call) -> tuple[Info]:
    """Shape rule of transposed convolutions."""
    shape, weight, kernel = _transposed_weights(call)
    count = len(shape) - 2
    if len(kernel) != count:
        raise ShapeConflictError(f"kernel_shape {kernel} does not fit weights of {text(weight)}")
    head = (shape[0], weight[1] * call.integer("group", 1))
    strides = per_axis(call, "strides", count, 1)
    dilations = per_axis(call, "dilations", count, 1)
    extra = per_axis(call, "output_padding", count, 0)
    dynamic = call.op == "ConvTransposeWithDynamicPads" and call.has(2)
    pads = call.integers(2) if dynamic else pads_of(call, count)
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


@operator("ConvTranspose", shape=conv_transpose_shape, treatment=MATRIX)
@operator("ConvTransposeWithDynamicPads", domain=MICROSOFT, shape=conv_transpose_shape, treatment=MATRIX)
def conv_transpose(call: Call) -> Step:
    """Every input pixel spreads over the kernel: M = input pixels x batch, N = kernel area x channels.

    The multiply-accumulates are input pixels x kernel area x input channels x output channels per group:
    those that are really done, not output pixels x kernel area, which counts each one stride-squared times.
    """
    image = call.shape(0, least_rank=3)
    weights = call.shape(1, least_rank=3)
    output = call.output_shape(0, least_rank=3)
    groups = call.integer("group", 1)
    if groups < 1 or weights[0] % groups:
        raise ShapeConflictError(
            f"{weights[0]} input channels cannot be divided into {groups} groups",
            accepted="a positive group count that divides the channels",
        )
    ones = (1,) * (len(weights) - 2)
    work = MatrixWork(
        groups=groups,
        m=image[0] * math.prod(image[2:]),
        n=math.prod(weights[1:]),
        k=weights[0] // groups,
        weights=call.constant(1),
        batch_axis=axis_for(call.batched),
        conv=ConvGeometry(
            kernel=weights[2:],
            strides=tuple(call.integer_list("strides") or ones),
            dilations=tuple(call.integer_list("dilations") or ones),
            input_size=image[2:],
            output_size=output[2:],
            in_channels=weights[0] // groups,
            out_channels=weights[1],
            transposed=True,
        ),
    )
    return Step(
        LayerKind.MATRIX, matrix=work, weights=call.weights(1, 3 if call.op.endswith("DynamicPads") else 2)
    )
