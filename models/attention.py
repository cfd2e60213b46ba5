"""Multi-head attention and the feed-forward network in the form in which exporters write them."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import TensorProto

from layerweaver.models.builder import GraphBuilder

__all__ = ["Heads", "attend", "join_heads", "split_heads", "token_mask"]


@dataclass(frozen=True, slots=True)
class Heads:
    """Attention heads: ``count`` of ``width`` channels each."""

    count: int
    width: int

    @property
    def channels(self) -> int:
        """Channels of all heads together."""
        return self.count * self.width


def split_heads(graph: GraphBuilder, x: str, heads: Heads, name: str, *, transposed: bool = False) -> str:
    """(batch, tokens, channels) to (batch, heads, tokens, width), or with the last two axes swapped."""
    shape = graph.integers(0, 0, heads.count, heads.width)
    x = graph.op("Reshape", x, shape, name=f"{name}.Reshape")
    return graph.op(
        "Transpose", x, name=f"{name}.Transpose", perm=[0, 2, 3, 1] if transposed else [0, 2, 1, 3]
    )


def join_heads(graph: GraphBuilder, x: str, heads: Heads, name: str) -> str:
    """(batch, heads, tokens, width) to (batch, tokens, channels)."""
    x = graph.op("Transpose", x, name=f"{name}.Transpose", perm=[0, 2, 1, 3])
    return graph.op("Reshape", x, graph.integers(0, 0, heads.channels), name=f"{name}.Reshape")


def attend(
    graph: GraphBuilder, query: str, key: str, value: str, *, width: int, name: str, mask: str = ""
) -> str:
    """Scaled dot-product attention.

    Args:
        graph: Where to add it.
        query: (batch, heads, tokens, width).
        key: (batch, heads, width, keys).
        value: (batch, heads, keys, width).
        width: Channels of a head.
        name: Prefix of the nodes.
        mask: Added to the scores, if any.

    Returns:
        The context, (batch, heads, tokens, width).
    """
    scores = graph.op("MatMul", query, key, name=f"{name}.scores")
    scores = graph.op("Div", scores, graph.scalar(float(width) ** 0.5), name=f"{name}.scale")
    if mask:
        scores = graph.op("Add", scores, mask, name=f"{name}.mask")
    share = graph.op("Softmax", scores, name=f"{name}.softmax", axis=-1)
    return graph.op("MatMul", share, value, name=f"{name}.context")


def token_mask(graph: GraphBuilder, attention_mask: str) -> str:
    """(batch, keys) of 0 and 1 to (batch, 1, 1, keys) of -10000 and 0."""
    mask = graph.op("Unsqueeze", attention_mask, graph.integers(1, 2), name="mask.Unsqueeze")
    mask = graph.op("Cast", mask, name="mask.Cast", to=TensorProto.FLOAT)
    mask = graph.op("Sub", graph.scalar(1.0), mask, name="mask.Sub")
    return graph.op("Mul", mask, graph.scalar(-10000.0), name="mask.Mul")
