"""Convolutions of any rank: plain, transposed, deformable, integer and stateful."""

from __future__ import annotations

import math

from layerweaver.frontend.operation import Operation, Step, WeightRead, axis_for
from layerweaver.frontend.registry import Treatment, lowers
from layerweaver.ir import ConvGeometry, LayerKind, MatrixWork, VectorCategory, VectorWork


def convolution(
    operation: Operation,
    *,
    weight: int = 1,
    parameters: tuple[WeightRead, ...] = (),
    vector: tuple[VectorWork, ...] = (),
    channels_last: bool = False,
) -> Step:
    """M = output pixels x batch, K = kernel area x input channels per group, N = output channels per group.

    Args:
        operation: The node; operand 0 is the image, result 0 the output.
        weight: Index of the weights, of shape (output channels, input channels per group, kernel...).
        parameters: Everything constant that is fetched.
        vector: Work fused into the operator.
        channels_last: Whether image and output keep their channels in the last axis.
    """
    image = operation.shape(0, least_rank=3)
    weights = operation.shape(weight, least_rank=3)
    output = operation.output_shape(0, least_rank=3)
    groups = operation.integer("group", 1)
    if groups < 1 or weights[0] % groups:
        raise operation.error(
            f"{weights[0]} output channels cannot be divided into {groups} groups",
            accepted="a positive group count that divides the channels",
        )
    last = channels_last and weights[1] * groups != image[-1] and weights[-1] * groups == image[-1]
    kernel, in_channels = (weights[1:-1], weights[-1]) if last else (weights[2:], weights[1])
    spatial = len(weights) - 2
    ones = (1,) * spatial
    pixels = output[1:-1] if channels_last else output[2:]
    work = MatrixWork(
        groups=groups,
        m=output[0] * math.prod(pixels),
        n=weights[0] // groups,
        k=math.prod(weights[1:]),
        weights=operation.constant(weight),
        batch_axis=axis_for(operation.batched),
        conv=ConvGeometry(
            kernel=kernel,
            strides=operation.integers("strides", ones),
            dilations=operation.integers("dilations", ones),
            input_size=image[1:-1] if channels_last else image[2:],
            output_size=pixels,
            in_channels=in_channels,
            out_channels=weights[0] // groups,
        ),
    )
    return Step(LayerKind.MATRIX, matrix=work, weights=parameters, vector=vector)


@lowers("Conv", treatment=Treatment.MATRIX)
def conv(operation: Operation) -> Step:
    """Convolution; the bias rides along."""
    return convolution(operation, parameters=operation.weights(1, 2))


@lowers("ConvInteger", treatment=Treatment.MATRIX)
def conv_integer(operation: Operation) -> Step:
    """Integer convolution with zero points."""
    return convolution(operation, parameters=operation.weights(1) + operation.weights(2, 3, role="vector"))


@lowers("QLinearConv", treatment=Treatment.MATRIX)
@lowers("QLinearConv", domain="com.microsoft", treatment=Treatment.MATRIX)
def quantized_conv(operation: Operation) -> Step:
    """Quantised convolution: requantising the sums is elementwise work."""
    return convolution(
        operation,
        weight=3,
        parameters=operation.weights(3, 8) + operation.weights(1, 2, 4, 5, 6, 7, role="vector"),
        vector=(operation.vector(VectorCategory.ELEMENTWISE, operation.output_elements()),),
        channels_last=operation.integer("channels_last", 0) == 1,
    )


@lowers("DeformConv", treatment=Treatment.MATRIX)
def deformable_conv(operation: Operation) -> Step:
    """Deformable convolution: the products of a convolution, and four samples per kernel position."""
    step = convolution(operation, parameters=operation.weights(1, 3))
    image = operation.shape(0)
    area = math.prod(operation.shape(1)[2:])
    samples = math.prod(operation.output_shape()[2:]) * image[0] * image[1] * area
    sampling = operation.vector(VectorCategory.ELEMENTWISE, samples, window=4)
    return Step(step.kind, matrix=step.matrix, weights=step.weights, vector=(sampling,))


@lowers("CausalConvWithState", treatment=Treatment.MATRIX)
def causal_conv(operation: Operation) -> Step:
    """Depthwise convolution over time: every channel is its own group."""
    batch, channels, length = operation.output_shape(0, least_rank=3)[:3]
    kernel = operation.shape(1, least_rank=3)[2]
    work = MatrixWork(
        groups=channels,
        m=batch * length,
        n=1,
        k=kernel,
        weights=operation.constant(1),
        batch_axis=axis_for(operation.batched),
        conv=ConvGeometry((kernel,), (1,), (1,), (length,), (length,), 1, 1),
    )
    fused = operation.text("activation", "none") != "none"
    activation = operation.vector(VectorCategory.TRANSCENDENTAL, operation.output_elements())
    return Step(
        LayerKind.MATRIX,
        matrix=work,
        weights=operation.weights(1, 2),
        vector=(activation,) if fused else (),
    )


@lowers("ConvTranspose", treatment=Treatment.MATRIX)
def conv_transpose(operation: Operation) -> Step:
    """Every input pixel spreads over the kernel: M = input pixels x batch, N = kernel area x channels.

    The multiply-accumulates are input pixels x kernel area x input channels x output channels per group:
    those that are really done, not output pixels x kernel area, which counts each one stride-squared times.
    """
    image = operation.shape(0, least_rank=3)
    weights = operation.shape(1, least_rank=3)
    output = operation.output_shape(0, least_rank=3)
    groups = operation.integer("group", 1)
    if groups < 1 or weights[0] % groups:
        raise operation.error(
            f"{weights[0]} input channels cannot be divided into {groups} groups",
            accepted="a positive group count that divides the channels",
        )
    ones = (1,) * (len(weights) - 2)
    work = MatrixWork(
        groups=groups,
        m=image[0] * math.prod(image[2:]),
        n=math.prod(weights[1:]),
        k=weights[0] // groups,
        weights=operation.constant(1),
        batch_axis=axis_for(operation.batched),
        conv=ConvGeometry(
            kernel=weights[2:],
            strides=operation.integers("strides", ones),
            dilations=operation.integers("dilations", ones),
            input_size=image[2:],
            output_size=output[2:],
            in_channels=weights[0] // groups,
            out_channels=weights[1],
            transposed=True,
        ),
    )
    return Step(LayerKind.MATRIX, matrix=work, weights=operation.weights(1, 2))
