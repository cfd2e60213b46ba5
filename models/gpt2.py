"""GPT-2: Radford et al., 2019, the small model with a cache of keys and values."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from layerweaver.models.attention import Heads, attend, join_heads, split_heads
from layerweaver.models.builder import GraphBuilder
from layerweaver.models.decoder import cache_inputs, causal_mask, new_positions

__all__ = ["gpt2", "gpt2_decode"]

_LAYERS, _VOCABULARY, _POSITIONS = 12, 50_257, 1024
_HEADS = Heads(12, 64)
_HIDDEN = _HEADS.channels


def gpt2_decode() -> onnx.ModelProto:
    """One decoding step.

    Inputs are one token per sequence, (batch, 1), and per layer the keys and values of the ``past`` tokens
    before it, (batch, 12, past, 64); outputs the logits, (batch, 1, 50257), and the caches grown by one.
    """
    graph = GraphBuilder("gpt2-decode")
    token = graph.input("input_ids", ("batch", 1), TensorProto.INT64)
    cache = [
        tuple(
            graph.input(f"past_key_values.{index}.{part}", ("batch", _HEADS.count, "past", _HEADS.width))
            for part in ("key", "value")
        )
        for index in range(_LAYERS)
    ]
    position = graph.op("Shape", cache[0][0], name="position", start=2, end=3)
    words, x = _embedded(graph, token, position)
    grown: dict[str, str] = {}
    for index, past in enumerate(cache):
        x = _layer(graph, x, past, index, grown)
    x = graph.layer_norm(x, _HIDDEN, "ln_f", 1e-5)
    head = graph.op("Transpose", words, name="lm_head.Transpose", perm=[1, 0])
    x = graph.op("MatMul", x, head, name="lm_head")
    graph.output(x, "logits", ("batch", 1, _VOCABULARY))
    for present, value in grown.items():
        graph.output(value, present, ("batch", _HEADS.count, "past + 1", _HEADS.width))
    return graph.model()


def gpt2() -> onnx.ModelProto:
    """Any number of new tokens per sequence, (batch, seq); logits of the last, (batch, 50257)."""
    graph = GraphBuilder("gpt2")
    tokens = graph.input("input_ids", ("batch", "seq"), TensorProto.INT64)
    cache = cache_inputs(graph, _LAYERS, _HEADS.count, _HEADS.width)
    position = new_positions(graph, tokens, cache[0][0])
    mask = causal_mask(graph, position)
    words, x = _embedded(graph, tokens, position)
    grown: dict[str, str] = {}
    for index, past in enumerate(cache):
        x = _layer(graph, x, past, index, grown, mask)
    x = graph.op("Gather", x, graph.integer(-1), name="last", axis=1)
    x = graph.layer_norm(x, _HIDDEN, "ln_f", 1e-5)
    head = graph.op("Transpose", words, name="lm_head.Transpose", perm=[1, 0])
    graph.output(graph.op("MatMul", x, head, name="lm_head"), "logits", ("batch", _VOCABULARY))
    for present, value in grown.items():
        graph.output(value, present, ("batch", _HEADS.count, "past + seq", _HEADS.width))
    return graph.model()


def _embedded(graph: GraphBuilder, tokens: str, position: str) -> tuple[str, str]:
    """The table of words, and the sum of what it and the table of positions give."""
    words = graph.weight("wte.weight", (_VOCABULARY, _HIDDEN), 0.01)
    positions = graph.weight("wpe.weight", (_POSITIONS, _HIDDEN), 0.01)
    word = graph.op("Gather", words, tokens, name="wte", axis=0)
    place = graph.op("Gather", positions, position, name="wpe", axis=0)
    return words, graph.op("Add", word, place, name="embed")


def _layer(  # noqa: PLR0917 - one layer of a table of layers
    graph: GraphBuilder, x: str, past: tuple[str, ...], index: int, grown: dict[str, str], mask: str = ""
) -> str:
    """Attention over the cache and the new token, then the feed-forward network; both normalize first.

    ``mask`` is added to the scores, if any. Puts the values of the grown caches into ``grown``, by the names
    of the outputs that they become.
    """
    name = f"h.{index}"
    y = graph.layer_norm(x, _HIDDEN, f"{name}.ln_1", 1e-5)
    joint = graph.linear(y, _HIDDEN, 3 * _HIDDEN, f"{name}.attn.c_attn")
    parts = {
        part: split_heads(graph, third, _HEADS, f"{name}.attn.{part}")
        for part, third in zip(
            ("query", "key", "value"), graph.split(joint, 3, f"{name}.attn.split"), strict=True
        )
    }
    for part, old in zip(("key", "value"), past, strict=True):
        parts[part] = graph.op("Concat", old, parts[part], name=f"{name}.attn.cache.{part}", axis=2)
        grown[f"present.{index}.{part}"] = parts[part]
    key = graph.op("Transpose", parts["key"], name=f"{name}.attn.key.Transpose_1", perm=[0, 1, 3, 2])
    y = attend(graph, parts["query"], key, parts["value"], width=_HEADS.width, name=f"{name}.attn", mask=mask)
    y = graph.linear(
        join_heads(graph, y, _HEADS, f"{name}.attn.context"), _HIDDEN, _HIDDEN, f"{name}.attn.c_proj"
    )
    x = graph.op("Add", x, y, name=f"{name}.attn.Add")
    y = graph.layer_norm(x, _HIDDEN, f"{name}.ln_2", 1e-5)
    y = graph.linear(y, _HIDDEN, 4 * _HIDDEN, f"{name}.mlp.c_fc")
    y = _tanh_gelu(graph, y, f"{name}.mlp.act")
    y = graph.linear(y, 4 * _HIDDEN, _HIDDEN, f"{name}.mlp.c_proj")
    return graph.op("Add", x, y, name=f"{name}.mlp.Add")


def _tanh_gelu(graph: GraphBuilder, x: str, name: str) -> str:
    """GELU in the hyperbolic-tangent form of GPT-2."""
    y = graph.op("Pow", x, graph.scalar(3.0), name=f"{name}.Pow")
    y = graph.op("Mul", y, graph.scalar(0.044715), name=f"{name}.Mul")
    y = graph.op("Add", x, y, name=f"{name}.Add")
    y = graph.op("Mul", y, graph.scalar(0.7978845608028654), name=f"{name}.Mul_1")
    y = graph.op("Tanh", y, name=f"{name}.Tanh")
    y = graph.op("Add", y, graph.scalar(1.0), name=f"{name}.Add_1")
    half = graph.op("Mul", x, graph.scalar(0.5), name=f"{name}.Mul_2")
    return graph.op("Mul", half, y, name=f"{name}.Mul_3")
