"""XLNet-base: Yang et al., 2019 (arXiv:1906.08237), the content stream used after pre-training.

Relative attention as in Transformer-XL (arXiv:1901.02860): scores are the sum of a content term, a position
term shifted by one column per row, and a segment term. The mask embedding of pre-training (768 parameters)
takes no part in inference and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto

from layerweaver.models.attention import Heads, join_heads, split_heads, token_mask
from layerweaver.models.builder import GraphBuilder

__all__ = ["xlnet_base"]

_LAYERS, _VOCABULARY, _INNER = 12, 32_000, 3072
_HEADS = Heads(12, 64)
_HIDDEN = _HEADS.channels


@dataclass(frozen=True, slots=True)
class _Context:
    """What all layers share.

    Attributes:
        mask: Added to the scores; (batch, 1, 1, tokens).
        positions: Sinusoids of the distances; (1, 2 * tokens, hidden).
        length: Number of tokens; (1,).
        differs: Whether query and key lie in different segments; (batch, 1, tokens, tokens).
    """

    mask: str
    positions: str
    length: str
    differs: str


def xlnet_base() -> onnx.ModelProto:
    """XLNet-base: 12 layers of 768 channels; inputs (batch, tokens)."""
    graph = GraphBuilder("xlnet-base")
    shape = ("batch", "tokens")
    tokens, attention_mask, segments = (
        graph.input(name, shape, TensorProto.INT64)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    mask = token_mask(graph, attention_mask)
    table = graph.weight("word_embedding.weight", (_VOCABULARY, _HIDDEN), 0.01)
    x = graph.op("Gather", table, tokens, name="word_embedding", axis=0)
    length = graph.op("Shape", tokens, name="length", start=1, end=2)
    positions = _relative_positions(graph, length)
    context = _Context(mask, positions, length, _segments_differ(graph, segments))
    for index in range(_LAYERS):
        name = f"layer.{index}"
        y = _relative_attention(graph, x, context, f"{name}.rel_attn")
        x = graph.op("Add", y, x, name=f"{name}.rel_attn.Add")
        x = graph.layer_norm(x, _HIDDEN, f"{name}.rel_attn.layer_norm")
        y = graph.gelu(graph.linear(x, _HIDDEN, _INNER, f"{name}.ff.layer_1"), f"{name}.ff.gelu")
        y = graph.linear(y, _INNER, _HIDDEN, f"{name}.ff.layer_2")
        x = graph.op("Add", y, x, name=f"{name}.ff.Add")
        x = graph.layer_norm(x, _HIDDEN, f"{name}.ff.layer_norm")
    graph.output(x, "last_hidden_state", ("batch", "tokens", _HIDDEN))
    return graph.model()


def _relative_positions(graph: GraphBuilder, length: str) -> str:
    """Sinusoids of the distances tokens, tokens - 1, ..., 1 - tokens: (1, 2 * tokens, hidden)."""
    scalar = graph.op("Squeeze", length, name="positions.length")
    end = graph.op("Neg", scalar, name="positions.end")
    distances = graph.op("Range", scalar, end, graph.integer(-1), name="positions.Range")
    distances = graph.op("Cast", distances, name="positions.Cast", to=TensorProto.FLOAT)
    distances = graph.op("Unsqueeze", distances, graph.integers(1), name="positions.Unsqueeze")
    steps = graph.op(
        "Range", graph.scalar(0.0), graph.scalar(float(_HIDDEN)), graph.scalar(2.0), name="positions.steps"
    )
    exponent = graph.op("Div", steps, graph.scalar(float(_HIDDEN)), name="positions.exponent")
    divisor = graph.op("Pow", graph.scalar(10000.0), exponent, name="positions.divisor")
    angles = graph.op("Div", distances, divisor, name="positions.angles")
    waves = graph.op(
        "Concat",
        graph.op("Sin", angles, name="positions.Sin"),
        graph.op("Cos", angles, name="positions.Cos"),
        name="positions.Concat",
        axis=-1,
    )
    return graph.op("Unsqueeze", waves, graph.integers(0), name="positions.batch")


def _segments_differ(graph: GraphBuilder, segments: str) -> str:
    """Whether query and key lie in different segments: (batch, 1, tokens, tokens)."""
    rows = graph.op("Unsqueeze", segments, graph.integers(1, 3), name="segments.rows")
    columns = graph.op("Unsqueeze", segments, graph.integers(1, 2), name="segments.columns")
    same = graph.op("Equal", rows, columns, name="segments.same")
    return graph.op("Not", same, name="segments.differ")


def _relative_attention(graph: GraphBuilder, x: str, context: _Context, name: str) -> str:
    query, key, value, distance = (
        split_heads(
            graph,
            graph.linear(source, _HIDDEN, _HIDDEN, f"{name}.{part}", bias=False),
            _HEADS,
            f"{name}.{part}",
            transposed=part in ("k", "r"),
        )
        for part, source in (("q", x), ("k", x), ("v", x), ("r", context.positions))
    )
    by_content = graph.op("MatMul", _biased(graph, query, f"{name}.r_w_bias"), key, name=f"{name}.content")
    by_position = graph.op(
        "MatMul", _biased(graph, query, f"{name}.r_r_bias"), distance, name=f"{name}.position"
    )
    by_position = _shift(graph, by_position, context.length, f"{name}.shift")
    by_segment = _segment_scores(graph, _biased(graph, query, f"{name}.r_s_bias"), context.differs, name)
    scores = graph.op("Add", by_content, by_position, name=f"{name}.scores")
    scores = graph.op("Add", scores, by_segment, name=f"{name}.scores_1")
    scores = graph.op("Mul", scores, graph.scalar(_HEADS.width**-0.5), name=f"{name}.scale")
    scores = graph.op("Add", scores, context.mask, name=f"{name}.mask")
    share = graph.op("Softmax", scores, name=f"{name}.softmax", axis=-1)
    y = graph.op("MatMul", share, value, name=f"{name}.context")
    y = join_heads(graph, y, _HEADS, f"{name}.joined")
    return graph.linear(y, _HIDDEN, _HIDDEN, f"{name}.o", bias=False)


def _biased(graph: GraphBuilder, query: str, name: str) -> str:
    bias = graph.weight(name, (_HEADS.count, 1, _HEADS.width), 0.01)
    return graph.op("Add", query, bias, name=f"{name}.Add")


def _shift(graph: GraphBuilder, scores: str, length: str, name: str) -> str:
    """Entry (i, j) of the result is entry (i, tokens - i + j): the score of distance i - j.

    (batch, heads, tokens, 2 * tokens) becomes (batch, heads, tokens, tokens). Seen as a (2 * tokens, tokens)
    matrix without its first row, the scores are moved by one column per row.
    """
    double = graph.op("Mul", length, graph.integers(2), name=f"{name}.double")
    turned = graph.op("Concat", graph.integers(0, 0), double, length, name=f"{name}.turned", axis=0)
    view = graph.op("Reshape", scores, turned, name=f"{name}.Reshape")
    end = graph.integers(2**31 - 1)
    view = graph.op("Slice", view, graph.integers(1), end, graph.integers(2), name=f"{name}.Slice")
    shorter = graph.op("Sub", double, graph.integers(1), name=f"{name}.shorter")
    back = graph.op("Concat", graph.integers(0, 0), length, shorter, name=f"{name}.back", axis=0)
    view = graph.op("Reshape", view, back, name=f"{name}.Reshape_1")
    return graph.op("Slice", view, graph.integers(0), length, graph.integers(3), name=f"{name}.Slice_1")


def _segment_scores(graph: GraphBuilder, query: str, differs: str, name: str) -> str:
    """One of two scores per query, by whether the key lies in another segment."""
    embedding = graph.weight(f"{name}.seg_embed", (_HEADS.count, _HEADS.width, 2), 0.01)
    both = graph.op("MatMul", query, embedding, name=f"{name}.segment")
    same, other = (
        graph.op(
            "Slice",
            both,
            graph.integers(side),
            graph.integers(side + 1),
            graph.integers(3),
            name=f"{name}.segment.{side}",
        )
        for side in (0, 1)
    )
    return graph.op("Where", differs, other, same, name=f"{name}.segment.Where")
