"""ResNet and ResNeXt for ImageNet: He et al., 2015 (arXiv:1512.03385); Xie et al., 2016 (arXiv:1611.05431).

Strides sit on the 3 x 3 convolution of a bottleneck ("v1.5"), as in MLPerf and torchvision.
"""

from __future__ import annotations

import onnx

from layerweaver.models.builder import GraphBuilder
from layerweaver.models.convnet import Convolution, classify, convolve, image_input, max_pool

__all__ = ["resnet18", "resnet50", "resnext50"]

_STAGE_CHANNELS = (64, 128, 256, 512)


def resnet18() -> onnx.ModelProto:
    """ResNet-18: basic blocks; input (batch, 3, 224, 224)."""
    return _resnet("resnet18", (2, 2, 2, 2), bottleneck=False)


def resnet50() -> onnx.ModelProto:
    """ResNet-50 v1.5: bottleneck blocks; input (batch, 3, 224, 224)."""
    return _resnet("resnet50", (3, 4, 6, 3), bottleneck=True)


def resnext50() -> onnx.ModelProto:
    """ResNeXt-50 (32x4d): bottlenecks of 32 groups, 4 channels each in the first stage."""
    return _resnet("resnext50", (3, 4, 6, 3), bottleneck=True, groups=32, group_width=4)


def _resnet(
    name: str, depths: tuple[int, ...], *, bottleneck: bool, groups: int = 1, group_width: int = 64
) -> onnx.ModelProto:
    graph = GraphBuilder(name)
    x = image_input(graph, 224)
    x = convolve(graph, x, 3, Convolution(64, (7, 7), 2), "conv1", norm="bn1")
    x = max_pool(graph, x, "maxpool", padding=1)
    channels = 64
    for stage, (width, depth) in enumerate(zip(_STAGE_CHANNELS, depths, strict=True)):
        outputs = width * 4 if bottleneck else width
        inner = width * group_width // 64 * groups
        for block in range(depth):
            prefix = f"layer{stage + 1}.{block}"
            stride = 2 if stage and not block else 1
            path = [Convolution(inner), Convolution(inner, (3, 3), stride, groups=groups)]
            if not bottleneck:
                path = [Convolution(width, (3, 3), stride)]
            last = Convolution(outputs, (1, 1) if bottleneck else (3, 3), activation="none")
            x = _residual(graph, x, channels, [*path, last], stride=stride, prefix=prefix)
            channels = outputs
    classify(graph, x, channels, "fc")
    return graph.model()


def _residual(
    graph: GraphBuilder, x: str, channels: int, path: list[Convolution], *, stride: int, prefix: str
) -> str:
    """A block: a path of convolutions beside a shortcut, which is projected where extents change."""
    shortcut = x
    inputs = channels
    for index, geometry in enumerate(path, start=1):
        x = convolve(graph, x, inputs, geometry, f"{prefix}.conv{index}", norm=f"{prefix}.bn{index}")
        inputs = geometry.outputs
    if stride != 1 or channels != inputs:
        projection = Convolution(inputs, stride=stride, activation="none")
        shortcut = convolve(
            graph, shortcut, channels, projection, f"{prefix}.downsample.0", norm=f"{prefix}.downsample.1"
        )
    x = graph.op("Add", x, shortcut, name=f"{prefix}.add")
    return graph.op("Relu", x, name=f"{prefix}.relu")
