"""VGG-16: Simonyan and Zisserman, 2014 (arXiv:1409.1556), configuration D."""

from __future__ import annotations

import onnx

from layerweaver.models.builder import GraphBuilder
from layerweaver.models.convnet import image_input, max_pool

__all__ = ["vgg16"]

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg16() -> onnx.ModelProto:
    """VGG-16 with biases and without normalization; input (batch, 3, 224, 224)."""
    graph = GraphBuilder("vgg16")
    x = image_input(graph, 224)
    channels = 3
    for stage, (width, depth) in enumerate(_STAGES, start=1):
        for layer in range(1, depth + 1):
            name = f"conv{stage}_{layer}"
            weight = graph.weight(f"{name}.weight", (width, channels, 3, 3))
            bias = graph.weight(f"{name}.bias", (width,), 0.0)
            x = graph.op("Conv", x, weight, bias, name=name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            x = graph.op("Relu", x, name=f"{name}.relu")
            channels = width
        x = max_pool(graph, x, f"pool{stage}", kernel=2)
    x = graph.op("Flatten", x, name="flatten", axis=1)
    x = graph.op("Relu", graph.dense(x, channels * 7 * 7, 4096, "fc6"), name="fc6.relu")
    x = graph.op("Relu", graph.dense(x, 4096, 4096, "fc7"), name="fc7.relu")
    graph.output(graph.dense(x, 4096, 1000, "fc8"), "logits", ("batch", 1000))
    return graph.model()
