"""BERT encoders: Devlin et al., 2018 (arXiv:1810.04805), uncased vocabulary, with the pooler."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto

from layerweaver.models.attention import Heads, attend, join_heads, split_heads, token_mask
from layerweaver.models.builder import GraphBuilder

__all__ = ["bert_base", "bert_large"]

_VOCABULARY, _POSITIONS, _SEGMENTS = 30_522, 512, 2


@dataclass(frozen=True, slots=True)
class _Size:
    layers: int
    heads: Heads

    @property
    def hidden(self) -> int:
        return self.heads.channels


def bert_base() -> onnx.ModelProto:
    """BERT-base: 12 layers of 768 channels; inputs (batch, tokens), at most 512 tokens."""
    return _bert("bert-base", _Size(12, Heads(12, 64)))


def bert_large() -> onnx.ModelProto:
    """BERT-large: 24 layers of 1024 channels; inputs (batch, tokens), at most 512 tokens."""
    return _bert("bert-large", _Size(24, Heads(16, 64)))


def _bert(name: str, size: _Size) -> onnx.ModelProto:
    graph = GraphBuilder(name)
    inputs = [
        graph.input(key, ("batch", "tokens"), TensorProto.INT64)
        for key in ("input_ids", "attention_mask", "token_type_ids")
    ]
    mask = token_mask(graph, inputs[1])
    x = _embed(graph, inputs[0], inputs[2], size.hidden)
    for index in range(size.layers):
        x = _layer(graph, x, mask, size, f"encoder.layer.{index}")
    first = graph.op("Gather", x, graph.integer(0), name="pooler.first", axis=1)
    pooled = graph.op(
        "Tanh", graph.dense(first, size.hidden, size.hidden, "pooler.dense"), name="pooler.tanh"
    )
    graph.output(x, "last_hidden_state", ("batch", "tokens", size.hidden))
    graph.output(pooled, "pooler_output", ("batch", size.hidden))
    return graph.model()


def _embed(graph: GraphBuilder, tokens: str, segments: str, hidden: int) -> str:
    """Sum of word, position and segment embeddings, normalized."""
    length = graph.op("Shape", tokens, name="embeddings.length", start=1, end=2)
    length = graph.op("Squeeze", length, name="embeddings.length.Squeeze")
    zero = graph.integer(0)
    one = graph.integer(1)
    positions = graph.op("Range", zero, length, one, name="embeddings.positions")
    x = ""
    for name, rows, index in (
        ("word", _VOCABULARY, tokens),
        ("token_type", _SEGMENTS, segments),
        ("position", _POSITIONS, positions),
    ):
        table = graph.weight(f"embeddings.{name}_embeddings.weight", (rows, hidden), 0.01)
        part = graph.op("Gather", table, index, name=f"embeddings.{name}_embeddings", axis=0)
        x = graph.op("Add", x, part, name=f"embeddings.{name}_embeddings.Add") if x else part
    return graph.layer_norm(x, hidden, "embeddings.LayerNorm")


def _layer(graph: GraphBuilder, x: str, mask: str, size: _Size, name: str) -> str:
    """Self-attention and feed-forward network, each with a residual and a normalization behind it."""
    hidden, heads = size.hidden, size.heads
    attention = f"{name}.attention"
    query, key, value = (
        split_heads(
            graph,
            graph.linear(x, hidden, hidden, f"{attention}.self.{part}"),
            heads,
            f"{attention}.self.{part}",
            transposed=part == "key",
        )
        for part in ("query", "key", "value")
    )
    context = attend(graph, query, key, value, width=heads.width, name=f"{attention}.self", mask=mask)
    context = join_heads(graph, context, heads, f"{attention}.self.context")
    y = graph.linear(context, hidden, hidden, f"{attention}.output.dense")
    x = graph.op("Add", y, x, name=f"{attention}.output.Add")
    x = graph.layer_norm(x, hidden, f"{attention}.output.LayerNorm")
    y = graph.linear(x, hidden, 4 * hidden, f"{name}.intermediate.dense")
    y = graph.gelu(y, f"{name}.intermediate.gelu")
    y = graph.linear(y, 4 * hidden, hidden, f"{name}.output.dense")
    x = graph.op("Add", y, x, name=f"{name}.output.Add")
    return graph.layer_norm(x, hidden, f"{name}.output.LayerNorm")
