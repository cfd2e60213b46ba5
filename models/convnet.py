"""Convolution with batch normalization and activation, as all convolutional networks of the zoo use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from layerweaver.models.builder import GraphBuilder

__all__ = ["Activation", "Convolution", "classify", "convolve", "image_input"]

Activation = Literal["relu", "relu6", "none"]


@dataclass(frozen=True, slots=True)
class Convolution:
    """Geometry of a convolution.

    Attributes:
        outputs: Output channels.
        kernel: Rows and columns of the kernel.
        stride: Step on both axes.
        padding: Zeros on each side, (rows, columns); None keeps the size at stride 1.
        groups: Groups of channels.
        activation: What follows the normalization.
    """

    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: tuple[int, int] | None = None
    groups: int = 1
    activation: Activation = "relu"


def image_input(graph: GraphBuilder, size: int) -> str:
    """Declare the input: (batch, 3, size, size)."""
    return graph.input("input", ("batch", 3, size, size))


def convolve(
    graph: GraphBuilder, x: str, inputs: int, geometry: Convolution, name: str, *, norm: str | None = None
) -> str:
    """Convolution without bias, batch normalization, activation.

    In inference batch normalization is one multiplication and one addition per channel; the running
    statistics are folded into these two vectors. It is written as Mul and Add, so that the graph has
    exactly the parameters by which the networks are published: weights, gamma and beta.

    Args:
        graph: Where to add it.
        x: Input of ``inputs`` channels.
        inputs: Channels of ``x``.
        geometry: Kernel, stride and so on.
        name: Name of the convolution.
        norm: Name of the normalization; by default ``name`` with ".bn".

    Returns:
        The output's name.
    """
    rows, columns = geometry.kernel
    pad_rows, pad_columns = geometry.padding or (rows // 2, columns // 2)
    weight = graph.weight(f"{name}.weight", (geometry.outputs, inputs // geometry.groups, rows, columns))
    x = graph.op(
        "Conv",
        x,
        weight,
        name=name,
        kernel_shape=[rows, columns],
        strides=[geometry.stride] * 2,
        pads=[pad_rows, pad_columns] * 2,
        dilations=[1, 1],
        group=geometry.groups,
    )
    norm = norm or f"{name}.bn"
    scale = graph.weight(f"{norm}.weight", (geometry.outputs, 1, 1), 1.0)
    shift = graph.weight(f"{norm}.bias", (geometry.outputs, 1, 1), 0.0)
    x = graph.op("Mul", x, scale, name=f"{norm}.Mul")
    x = graph.op("Add", x, shift, name=f"{norm}.Add")
    return activate(graph, x, geometry.activation, f"{norm}.activation")


def activate(graph: GraphBuilder, x: str, activation: Activation, name: str) -> str:
    """ReLU, ReLU6 or nothing."""
    if activation == "relu":
        return graph.op("Relu", x, name=name)
    if activation == "relu6":
        return graph.op("Clip", x, graph.scalar(0.0), graph.scalar(6.0), name=name)
    return x


def classify(graph: GraphBuilder, x: str, channels: int, name: str, classes: int = 1000) -> None:
    """Global average pool and a fully connected layer; declares the output (batch, classes)."""
    x = graph.op("GlobalAveragePool", x, name="avgpool")
    x = graph.op("Flatten", x, name="flatten", axis=1)
    graph.output(graph.dense(x, channels, classes, name), "logits", ("batch", classes))


def max_pool(
    graph: GraphBuilder, x: str, name: str, *, kernel: int = 3, stride: int = 2, padding: int = 0
) -> str:
    """Square max pooling."""
    pads: Sequence[int] = [padding] * 4
    return graph.op("MaxPool", x, name=name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)
