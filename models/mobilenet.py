"""MobileNet v1 and v2: Howard et al., 2017 (arXiv:1704.04861); Sandler et al., 2018 (arXiv:1801.04381)."""

from __future__ import annotations

import onnx

from layerweaver.models.builder import GraphBuilder
from layerweaver.models.convnet import Activation, Convolution, classify, convolve, image_input

__all__ = ["mobilenet_v1", "mobilenet_v2"]

# Output channels and stride of the depthwise separable layers (v1, table 1).
_SEPARABLE = (
    ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)) + ((512, 1),) * 5 + ((1024, 2), (1024, 1))
)

# Expansion, output channels, repetitions, stride of the first (v2, table 2).
_INVERTED = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v1() -> onnx.ModelProto:
    """MobileNet v1 at width 1; input (batch, 3, 224, 224)."""
    graph = GraphBuilder("mobilenetv1")
    activation: Activation = "relu6"
    x = convolve(
        graph, image_input(graph, 224), 3, Convolution(32, (3, 3), 2, activation=activation), "conv0"
    )
    channels = 32
    for index, (outputs, stride) in enumerate(_SEPARABLE, start=1):
        depthwise = Convolution(channels, (3, 3), stride, groups=channels, activation=activation)
        x = convolve(graph, x, channels, depthwise, f"conv{index}.depthwise")
        pointwise = Convolution(outputs, activation=activation)
        x = convolve(graph, x, channels, pointwise, f"conv{index}.pointwise")
        channels = outputs
    classify(graph, x, channels, "fc")
    return graph.model()


def mobilenet_v2() -> onnx.ModelProto:
    """MobileNet v2 at width 1; input (batch, 3, 224, 224)."""
    graph = GraphBuilder("mobilenetv2")
    activation: Activation = "relu6"
    stem = Convolution(32, (3, 3), 2, activation=activation)
    x = convolve(graph, image_input(graph, 224), 3, stem, "features.0.0")
    channels = 32
    index = 1
    for expansion, outputs, repetitions, first_stride in _INVERTED:
        for repetition in range(repetitions):
            stride = first_stride if repetition == 0 else 1
            prefix = f"features.{index}"
            shortcut = x
            hidden = channels * expansion
            if expansion > 1:
                x = convolve(
                    graph, x, channels, Convolution(hidden, activation=activation), f"{prefix}.expand"
                )
            depthwise = Convolution(hidden, (3, 3), stride, groups=hidden, activation=activation)
            x = convolve(graph, x, hidden, depthwise, f"{prefix}.depthwise")
            x = convolve(graph, x, hidden, Convolution(outputs, activation="none"), f"{prefix}.project")
            if stride == 1 and channels == outputs:
                x = graph.op("Add", shortcut, x, name=f"{prefix}.add")
            channels = outputs
            index += 1
    x = convolve(graph, x, channels, Convolution(1280, activation=activation), f"features.{index}.0")
    classify(graph, x, 1280, "classifier.1")
    return graph.model()
