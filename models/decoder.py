"""Decoder-only language models with a cache, for any number of new tokens: Llama, Mistral, Qwen2.5.

Inputs are the new tokens of every sequence, (batch, seq), and per layer the keys and values of the ``past``
tokens before them, (batch, heads of keys and values, past, width). Outputs are the logits of each sequence's
last position, (batch, vocabulary), and the caches grown by ``seq``. The last position is gathered before the
head, as servers do. Query heads that share a head of keys and values lie behind each other in one product, so
that keys and values are never repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto

from layerweaver.models.attention import Heads, split_heads
from layerweaver.models.builder import GraphBuilder

__all__ = [
    "cache_inputs",
    "causal_mask",
    "llama_2_7b",
    "llama_2_70b",
    "llama_3_1_8b",
    "mistral_7b",
    "new_positions",
    "qwen2_5_7b",
]


@dataclass(frozen=True, slots=True)
class _Decoder:
    """A published architecture.

    Attributes:
        name: Name of the graph.
        layers: Number of layers.
        hidden: Width of the residual stream.
        heads: Query heads.
        kv_heads: Heads of keys and values.
        width: Channels of a head.
        inner: Width of the feed-forward network.
        vocabulary: Tokens.
        theta: Base of the rotary embedding.
        window: Positions that a token attends to at most; 0 for all.
        qkv_bias: Whether query, key and value projections have a bias.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    width: int
    inner: int
    vocabulary: int
    theta: float = 10_000.0
    window: int = 0
    qkv_bias: bool = False


def llama_3_1_8b() -> onnx.ModelProto:
    """Llama 3.1 8B: Grattafiori et al., arXiv:2407.21783; 8,030,261,248 parameters."""
    return _build(_Decoder("llama-3.1-8b", 32, 4096, 32, 8, 128, 14_336, 128_256, 500_000.0))


def llama_2_7b() -> onnx.ModelProto:
    """Llama 2 7B: Touvron et al., arXiv:2307.09288; 6,738,415,616 parameters."""
    return _build(_Decoder("llama-2-7b", 32, 4096, 32, 32, 128, 11_008, 32_000))


def llama_2_70b() -> onnx.ModelProto:
    """Llama 2 70B: the same; 68,976,648,192 parameters."""
    return _build(_Decoder("llama-2-70b", 80, 8192, 64, 8, 128, 28_672, 32_000))


def mistral_7b() -> onnx.ModelProto:
    """Mistral 7B: Jiang et al., arXiv:2310.06825; 7,241,732,096 parameters."""
    return _build(_Decoder("mistral-7b", 32, 4096, 32, 8, 128, 14_336, 32_000))


def qwen2_5_7b() -> onnx.ModelProto:
    """Qwen2.5 7B: Yang et al., arXiv:2412.15115; 7,615,616,512 parameters."""
    return _build(_Decoder("qwen2.5-7b", 28, 3584, 28, 4, 128, 18_944, 152_064, 1_000_000.0, qkv_bias=True))


def _build(model: _Decoder) -> onnx.ModelProto:
    graph = GraphBuilder(model.name)
    tokens = graph.input("input_ids", ("batch", "seq"), TensorProto.INT64)
    cache = cache_inputs(graph, model.layers, model.kv_heads, model.width)
    position = new_positions(graph, tokens, cache[0][0])
    cosine, sine = _rotation(graph, position, model)
    mask = causal_mask(graph, position)
    words = graph.weight("model.embed_tokens.weight", (model.vocabulary, model.hidden), 0.01)
    x = graph.op("Gather", words, tokens, name="model.embed_tokens", axis=0)
    grown: dict[str, str] = {}
    for index, past in enumerate(cache):
        name = f"model.layers.{index}"
        y = _rms_norm(graph, x, model.hidden, f"{name}.input_layernorm")
        y = _rotary_attention(graph, y, past, (cosine, sine, mask), model, name, grown)
        x = graph.op("Add", x, y, name=f"{name}.self_attn.residual")
        y = _rms_norm(graph, x, model.hidden, f"{name}.post_attention_layernorm")
        x = graph.op("Add", x, _gated(graph, y, model, f"{name}.mlp"), name=f"{name}.mlp.residual")
    x = graph.op("Gather", x, graph.integer(-1), name="last", axis=1)
    x = _rms_norm(graph, x, model.hidden, "model.norm")
    head = graph.weight("lm_head.weight", (model.hidden, model.vocabulary), 1.0 / model.hidden)
    logits = graph.op("MatMul", x, head, name="lm_head")
    _outputs(graph, logits, grown, model)
    return graph.model()


def cache_inputs(graph: GraphBuilder, layers: int, heads: int, width: int) -> list[tuple[str, str]]:
    """Declare the keys and values of the tokens before, per layer."""
    return [
        (
            graph.input(f"past_key_values.{index}.key", ("batch", heads, "past", width)),
            graph.input(f"past_key_values.{index}.value", ("batch", heads, "past", width)),
        )
        for index in range(layers)
    ]


def new_positions(graph: GraphBuilder, tokens: str, key: str) -> str:
    """Positions of the new tokens, (seq,)."""
    past = graph.op("Shape", key, name="positions.past", start=2, end=3)
    past = graph.op("Squeeze", past, graph.integers(0), name="positions.Squeeze")
    new = graph.op("Shape", tokens, name="positions.new", start=1, end=2)
    new = graph.op("Squeeze", new, graph.integers(0), name="positions.Squeeze_1")
    end = graph.op("Add", past, new, name="positions.Add")
    return graph.op("Range", past, end, graph.integer(1), name="positions.Range")


def _rotation(graph: GraphBuilder, position: str, model: _Decoder) -> tuple[str, str]:
    """Cosine and sine of the rotary embedding, (seq, width)."""
    pairs = graph.op(
        "Range", graph.integer(0), graph.integer(model.width), graph.integer(2), name="rotary.Range"
    )
    pairs = graph.op("Cast", pairs, name="rotary.Cast_1", to=TensorProto.FLOAT)
    powers = graph.op("Mul", pairs, graph.scalar(-1.0 / model.width), name="rotary.Mul_1")
    frequencies = graph.op("Pow", graph.scalar(model.theta), powers, name="rotary.Pow")
    steps = graph.op("Cast", position, name="rotary.Cast", to=TensorProto.FLOAT)
    steps = graph.op("Unsqueeze", steps, graph.integers(1), name="rotary.Unsqueeze")
    angle = graph.op("Mul", steps, frequencies, name="rotary.Mul")
    angle = graph.op("Concat", angle, angle, name="rotary.Concat", axis=-1)
    return graph.op("Cos", angle, name="rotary.Cos"), graph.op("Sin", angle, name="rotary.Sin")


def causal_mask(graph: GraphBuilder, position: str) -> str:
    """0 where a new token may look and a large negative number elsewhere, (seq, past + seq)."""
    last = graph.op("ReduceMax", position, name="mask.ReduceMax", axes=[0], keepdims=0)
    end = graph.op("Add", last, graph.integer(1), name="mask.Add")
    every = graph.op("Range", graph.integer(0), end, graph.integer(1), name="mask.Range")
    rows = graph.op("Unsqueeze", position, graph.integers(1), name="mask.Unsqueeze")
    later = graph.op("Greater", every, rows, name="mask.Greater")
    return graph.op("Where", later, graph.scalar(-1e9), graph.scalar(0.0), name="mask.Where")


def _rms_norm(graph: GraphBuilder, x: str, width: int, name: str) -> str:
    """Root-mean-square normalization in the operators that exporters write."""
    square = graph.op("Pow", x, graph.scalar(2.0), name=f"{name}.Pow")
    mean = graph.op("ReduceMean", square, name=f"{name}.ReduceMean", axes=[-1])
    safe = graph.op("Add", mean, graph.scalar(1e-5), name=f"{name}.Add")
    root = graph.op("Sqrt", safe, name=f"{name}.Sqrt")
    y = graph.op("Div", x, root, name=f"{name}.Div")
    return graph.op("Mul", y, graph.weight(f"{name}.weight", (width,), 1.0), name=f"{name}.Mul")


def _rotated(graph: GraphBuilder, x: str, rotation: tuple[str, str], name: str) -> str:
    """Apply the rotary embedding to (batch, heads, seq, width)."""
    low, high = graph.split(x, 2, f"{name}.Split")
    negative = graph.op("Neg", high, name=f"{name}.Neg")
    turned = graph.op("Concat", negative, low, name=f"{name}.Concat", axis=-1)
    x = graph.op("Mul", x, rotation[0], name=f"{name}.Mul")
    turned = graph.op("Mul", turned, rotation[1], name=f"{name}.Mul_1")
    return graph.op("Add", x, turned, name=f"{name}.Add")


def _rotary_attention(  # noqa: PLR0917 - one layer of a table of layers
    graph: GraphBuilder,
    x: str,
    past: tuple[str, str],
    given: tuple[str, str, str],
    model: _Decoder,
    layer: str,
    grown: dict[str, str],
) -> str:
    """Grouped-query attention over the cache and the new tokens; puts the grown caches into ``grown``."""
    name, own = f"{layer}.self_attn", Heads(model.heads, model.width)
    shared, index = Heads(model.kv_heads, model.width), layer.rsplit(".", 1)[-1]
    parts = {}
    for part, heads in (("query", own), ("key", shared), ("value", shared)):
        y = graph.linear(x, model.hidden, heads.channels, f"{name}.{part[0]}_proj", bias=model.qkv_bias)
        y = split_heads(graph, y, heads, f"{name}.{part}")
        parts[part] = y if part == "value" else _rotated(graph, y, given[:2], f"{name}.{part}.rotary")
    for part, old in zip(("key", "value"), past, strict=True):
        parts[part] = graph.op("Concat", old, parts[part], name=f"{name}.cache.{part}", axis=2)
        grown[f"present.{index}.{part}"] = parts[part]
    y = _grouped_products(graph, parts, given[2], model, name)
    return graph.linear(y, own.channels, model.hidden, f"{name}.o_proj", bias=False)


def _grouped_products(
    graph: GraphBuilder, parts: dict[str, str], mask: str, model: _Decoder, name: str
) -> str:
    """Attention of (batch, heads, seq, width) over fewer heads of keys and values; (batch, seq, channels)."""
    group = model.heads // model.kv_heads
    by_group = graph.integers(0, model.kv_heads, group, -1, model.width)
    flat = graph.integers(0, model.kv_heads, -1, model.width)
    query = graph.op("Reshape", parts["query"], flat, name=f"{name}.query.flat")
    key = graph.op("Transpose", parts["key"], name=f"{name}.key.Transpose_1", perm=[0, 1, 3, 2])
    scores = graph.op("MatMul", query, key, name=f"{name}.scores")
    scores = graph.op("Div", scores, graph.scalar(float(model.width) ** 0.5), name=f"{name}.scale")
    rows = graph.op("Shape", mask, name=f"{name}.mask.Shape")
    lead = graph.integers(0, model.kv_heads, group)
    shape = graph.op("Concat", lead, rows, name=f"{name}.mask.Concat", axis=0)
    scores = graph.op("Reshape", scores, shape, name=f"{name}.scores.by_head")
    scores = graph.op("Add", scores, mask, name=f"{name}.mask")
    share = graph.op("Softmax", scores, name=f"{name}.softmax", axis=-1)
    count = graph.op("Shape", mask, name=f"{name}.mask.Shape_1", start=1, end=2)
    joint = graph.op(
        "Concat", graph.integers(0, model.kv_heads, -1), count, name=f"{name}.mask.Concat_1", axis=0
    )
    share = graph.op("Reshape", share, joint, name=f"{name}.share.flat")
    context = graph.op("MatMul", share, parts["value"], name=f"{name}.context")
    context = graph.op("Reshape", context, by_group, name=f"{name}.context.by_group")
    context = graph.op("Transpose", context, name=f"{name}.context.Transpose", perm=[0, 3, 1, 2, 4])
    wide = graph.integers(0, 0, model.heads * model.width)
    return graph.op("Reshape", context, wide, name=f"{name}.context.Reshape")


def _gated(graph: GraphBuilder, x: str, model: _Decoder, name: str) -> str:
    """Feed-forward network with a gate (SwiGLU)."""
    gate = graph.linear(x, model.hidden, model.inner, f"{name}.gate_proj", bias=False)
    gate = graph.op("Mul", gate, graph.op("Sigmoid", gate, name=f"{name}.Sigmoid"), name=f"{name}.silu")
    up = graph.linear(x, model.hidden, model.inner, f"{name}.up_proj", bias=False)
    y = graph.op("Mul", gate, up, name=f"{name}.Mul")
    return graph.linear(y, model.inner, model.hidden, f"{name}.down_proj", bias=False)


def _outputs(graph: GraphBuilder, logits: str, grown: dict[str, str], model: _Decoder) -> None:
    graph.output(logits, "logits", ("batch", model.vocabulary))
    for present, value in grown.items():
        graph.output(value, present, ("batch", model.kv_heads, "past + seq", model.width))
