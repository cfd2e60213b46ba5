"""Vision Transformer ViT-B/16: Dosovitskiy et al., 2020 (arXiv:2010.11929), with a classifier."""

from __future__ import annotations

import onnx

from layerweaver.models.attention import Heads, attend, join_heads, split_heads
from layerweaver.models.builder import GraphBuilder

__all__ = ["vit_b16"]

_LAYERS, _PATCH, _SIZE, _CLASSES = 12, 16, 224, 1000
_HEADS = Heads(12, 64)
_HIDDEN = _HEADS.channels
_TOKENS = (_SIZE // _PATCH) ** 2 + 1


def vit_b16() -> onnx.ModelProto:
    """ViT-B/16; input (batch, 3, 224, 224), output the logits (batch, 1000)."""
    graph = GraphBuilder("vit-b16")
    pixels = graph.input("pixel_values", ("batch", 3, _SIZE, _SIZE))
    x = graph.op(
        "Conv",
        pixels,
        graph.weight("patch_embedding.weight", (_HIDDEN, 3, _PATCH, _PATCH)),
        graph.weight("patch_embedding.bias", (_HIDDEN,), 0.0),
        name="patch_embedding",
        kernel_shape=[_PATCH, _PATCH],
        strides=[_PATCH, _PATCH],
    )
    x = graph.op("Reshape", x, graph.integers(0, _HIDDEN, -1), name="patches.Reshape")
    x = graph.op("Transpose", x, name="patches.Transpose", perm=[0, 2, 1])
    batch = graph.op("Shape", pixels, name="class_token.batch", start=0, end=1)
    shape = graph.op("Concat", batch, graph.integers(1, _HIDDEN), name="class_token.shape", axis=0)
    token = graph.weight("class_token", (1, 1, _HIDDEN), 0.01)
    token = graph.op("Expand", token, shape, name="class_token.Expand")
    x = graph.op("Concat", token, x, name="class_token.Concat", axis=1)
    positions = graph.weight("position_embedding", (1, _TOKENS, _HIDDEN), 0.01)
    x = graph.op("Add", x, positions, name="position_embedding.Add")
    for index in range(_LAYERS):
        x = _layer(graph, x, f"layer.{index}")
    x = graph.layer_norm(x, _HIDDEN, "layernorm")
    x = graph.op("Gather", x, graph.integer(0), name="classifier.first", axis=1)
    graph.output(graph.dense(x, _HIDDEN, _CLASSES, "classifier"), "logits", ("batch", _CLASSES))
    return graph.model()


def _layer(graph: GraphBuilder, x: str, name: str) -> str:
    """Attention and feed-forward network, both with the normalization before and the residual behind."""
    y = graph.layer_norm(x, _HIDDEN, f"{name}.layernorm_before")
    query, key, value = (
        split_heads(
            graph,
            graph.linear(y, _HIDDEN, _HIDDEN, f"{name}.attention.{part}"),
            _HEADS,
            f"{name}.attention.{part}",
            transposed=part == "key",
        )
        for part in ("query", "key", "value")
    )
    y = attend(graph, query, key, value, width=_HEADS.width, name=f"{name}.attention")
    y = join_heads(graph, y, _HEADS, f"{name}.attention.context")
    y = graph.linear(y, _HIDDEN, _HIDDEN, f"{name}.attention.output")
    x = graph.op("Add", y, x, name=f"{name}.attention.Add")
    y = graph.layer_norm(x, _HIDDEN, f"{name}.layernorm_after")
    y = graph.gelu(graph.linear(y, _HIDDEN, 4 * _HIDDEN, f"{name}.intermediate"), f"{name}.gelu")
    y = graph.linear(y, 4 * _HIDDEN, _HIDDEN, f"{name}.output")
    return graph.op("Add", y, x, name=f"{name}.Add")
