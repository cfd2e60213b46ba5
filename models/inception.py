"""Inception-v3: Szegedy et al., 2015 (arXiv:1512.00567), without the auxiliary classifier of training."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from layerweaver.models.builder import GraphBuilder
from layerweaver.models.convnet import Convolution, classify, convolve, image_input, max_pool

__all__ = ["inception_v3"]

Branch = Sequence[Convolution]

_ROW, _COLUMN = (1, 7), (7, 1)


def inception_v3() -> onnx.ModelProto:
    """Inception-v3; input (batch, 3, 299, 299)."""
    graph = GraphBuilder("inceptionv3")
    x = image_input(graph, 299)
    x = convolve(graph, x, 3, _valid(32, 2), "Conv2d_1a_3x3")
    x = convolve(graph, x, 32, _valid(32), "Conv2d_2a_3x3")
    x = convolve(graph, x, 32, Convolution(64, (3, 3)), "Conv2d_2b_3x3")
    x = max_pool(graph, x, "maxpool1")
    x = convolve(graph, x, 64, Convolution(80), "Conv2d_3b_1x1")
    x = convolve(graph, x, 80, _valid(192), "Conv2d_4a_3x3")
    x = max_pool(graph, x, "maxpool2")
    channels = 192
    for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x, channels = _mixed(graph, x, channels, _grid35(pooled), name)
    x, channels = _reduce(
        graph,
        x,
        channels,
        [[_valid(384, 2)], [Convolution(64), Convolution(96, (3, 3)), _valid(96, 2)]],
        "Mixed_6a",
    )
    for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x, channels = _mixed(graph, x, channels, _grid17(width), name)
    x, channels = _reduce(
        graph,
        x,
        channels,
        [
            [Convolution(192), _valid(320, 2)],
            [Convolution(192), Convolution(192, _ROW), Convolution(192, _COLUMN), _valid(192, 2)],
        ],
        "Mixed_7a",
    )
    for name in ("Mixed_7b", "Mixed_7c"):
        x, channels = _grid8(graph, x, channels, name)
    classify(graph, x, channels, "fc")
    return graph.model()


def _valid(outputs: int, stride: int = 1) -> Convolution:
    """A 3 x 3 convolution without padding."""
    return Convolution(outputs, (3, 3), stride, padding=(0, 0))


def _grid35(pooled: int) -> list[Branch]:
    """Branches on the 35 x 35 grid (figure 5); ``pooled`` channels come from the pooling branch."""
    return [
        [Convolution(64)],
        [Convolution(48), Convolution(64, (5, 5))],
        [Convolution(64), Convolution(96, (3, 3)), Convolution(96, (3, 3))],
        [Convolution(pooled)],
    ]


def _grid17(width: int) -> list[Branch]:
    """Branches on the 17 x 17 grid, with 7 x 7 kernels split into rows and columns (figure 6)."""
    return [
        [Convolution(192)],
        [Convolution(width), Convolution(width, _ROW), Convolution(192, _COLUMN)],
        [
            Convolution(width),
            Convolution(width, _COLUMN),
            Convolution(width, _ROW),
            Convolution(width, _COLUMN),
            Convolution(192, _ROW),
        ],
        [Convolution(192)],
    ]


def _chain(graph: GraphBuilder, x: str, channels: int, branch: Branch, name: str) -> str:
    for index, geometry in enumerate(branch, start=1):
        x = convolve(graph, x, channels, geometry, f"{name}_{index}")
        channels = geometry.outputs
    return x


def _average(graph: GraphBuilder, x: str, name: str) -> str:
    return graph.op(
        "AveragePool",
        x,
        name=f"{name}.pool",
        kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
        strides=[1, 1],
        count_include_pad=1,
    )


def _mixed(graph: GraphBuilder, x: str, channels: int, branches: list[Branch], name: str) -> tuple[str, int]:
    """Branches side by side; the last one starts with an average pool."""
    ends = [
        _chain(graph, x, channels, branch, f"{name}.branch{index}")
        for index, branch in enumerate(branches[:-1], start=1)
    ]
    ends.append(_chain(graph, _average(graph, x, name), channels, branches[-1], f"{name}.branch_pool"))
    outputs = sum(branch[-1].outputs for branch in branches)
    return graph.op("Concat", *ends, name=f"{name}.concat", axis=1), outputs


def _reduce(graph: GraphBuilder, x: str, channels: int, branches: list[Branch], name: str) -> tuple[str, int]:
    """Branches that halve the grid beside a max pool."""
    ends = [
        _chain(graph, x, channels, branch, f"{name}.branch{index}")
        for index, branch in enumerate(branches, start=1)
    ]
    ends.append(max_pool(graph, x, f"{name}.pool"))
    outputs = sum(branch[-1].outputs for branch in branches) + channels
    return graph.op("Concat", *ends, name=f"{name}.concat", axis=1), outputs


def _grid8(graph: GraphBuilder, x: str, channels: int, name: str) -> tuple[str, int]:
    """The widened blocks on the 8 x 8 grid (figure 7): two branches fork into a row and a column."""
    ends = [_chain(graph, x, channels, [Convolution(320)], f"{name}.branch1")]
    stems: list[Branch] = [[Convolution(384)], [Convolution(448), Convolution(384, (3, 3))]]
    for index, stem in enumerate(stems, start=2):
        stem_end = _chain(graph, x, channels, stem, f"{name}.branch{index}")
        for side, kernel in (("row", (1, 3)), ("column", (3, 1))):
            fork = Convolution(384, kernel)
            ends.append(convolve(graph, stem_end, 384, fork, f"{name}.branch{index}_{side}"))
    pooled = _average(graph, x, name)
    ends.append(_chain(graph, pooled, channels, [Convolution(192)], f"{name}.branch_pool"))
    return graph.op("Concat", *ends, name=f"{name}.concat", axis=1), 320 + 4 * 384 + 192
