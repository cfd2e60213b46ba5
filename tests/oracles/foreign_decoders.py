"""Small decoders as exporters write them: caches by layer or stacked, fused attention, narrow weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from layerweaver.ir import LayerGraph
from layerweaver.scheduler.compile.sources import load_graph

__all__ = ["FORMS", "Form", "build", "graph_of"]

HIDDEN, HEADS, KV_HEADS, WIDTH, WORDS, INNER = 64, 4, 2, 16, 96, 128


@dataclass(frozen=True)
class Form:
    """How a decoder is exported.

    Attributes:
        attention: ``products``, ``gqa`` (com.microsoft) or ``attention`` (opset 23).
        cache: ``layers``: an input per layer; ``stacked``: one for all keys and one for all values.
        weights: ``float``, ``int8``, ``int4``, ``blocked`` (MatMulNBits) or ``fp8``.
        positions: Whether positions are an input.
        mask: Whether a mask over all tokens is an input.
        merged: Whether an If chooses between a branch with and one without a cache.
        past: Name of the cache inputs.
        present: Name of the cache outputs.
        sizes: Names of batch, new tokens, cached tokens and all of them.
        layers: Number of layers.
        kv_heads: Heads of keys and values: all query heads share one, some, or none.
        rotary: Whether queries and keys are turned by their positions.
        fused: Whether one product makes queries, keys and values.
        window: Tokens that the attention of every other layer looks at; 0 for all.
        known: Longest context for which the graph holds a bias; 0 where it has none.
        kept: Tokens of which the graph keeps keys and values, at most; 0 for all.
        crossed: How axes of the embeddings, (batch, tokens, heads, width), change places for a while, which
            moves nothing where all but one axis that do have one entry; () for not at all.
        filled: Whether the graph fills a causal mask to the length of its inputs.
    """

    attention: str = "products"
    cache: str = "layers"
    weights: str = "float"
    positions: bool = False
    mask: bool = False
    merged: bool = False
    past: str = "past_key_values.{}.{}"
    present: str = "present.{}.{}"
    sizes: tuple[str, str, str, str] = (
        "batch_size",
        "sequence_length",
        "past_sequence_length",
        "total_sequence_length",
    )
    layers: int = 2
    kv_heads: int = KV_HEADS
    rotary: bool = False
    fused: bool = False
    window: int = 0
    known: int = 0
    kept: int = 0
    crossed: tuple[int, ...] = ()
    filled: bool = False


FORMS = {
    "products": Form(),
    "positions": Form(positions=True, mask=True),
    "gqa": Form(attention="gqa", mask=True),
    "gqa-positions": Form(attention="gqa", mask=True, positions=True),
    "attention-23": Form(attention="attention"),
    "int8": Form(weights="int8"),
    "int4": Form(weights="int4"),
    "blocked-int4": Form(weights="blocked"),
    "fp8": Form(weights="fp8"),
    "gqa-int4": Form(attention="gqa", mask=True, weights="blocked"),
    "other-names": Form(past="kv_{}_{}_in", present="kv_{}_{}_out", sizes=("N", "S", "P", "T")),
    "no-names": Form(past="a{}{}", present="b{}{}", sizes=("batch", "seq", "past", "past + seq")),
    "numbered": Form(sizes=("s23", "s27", "s41", "s27 + s41")),
    "stacked": Form(cache="stacked", past="past_{}", present="present_{}"),
    "stacked-numbered": Form(cache="stacked", past="p{}", present="q{}", sizes=("s0", "s1", "s2", "s1+s2")),
    "stacked-gqa": Form(cache="stacked", past="past_{}", present="present_{}", attention="gqa", mask=True),
    "merged": Form(merged=True),
    "merged-gqa": Form(merged=True, attention="gqa", mask=True),
    "one-kv-head": Form(kv_heads=1, rotary=True),
    "rotary": Form(rotary=True, mask=True),
    "fused": Form(fused=True, rotary=True),
    "filled": Form(filled=True),
    "merged-filled": Form(filled=True, merged=True, kv_heads=1),
    "window": Form(attention="gqa", mask=True, window=20),
    "narrow-window": Form(attention="gqa", mask=True, window=4, layers=3),
    "wide-window-int4": Form(attention="gqa", mask=True, window=300, weights="blocked"),
    "merged-window": Form(merged=True, attention="gqa", mask=True, window=20),
    "crossed": Form(crossed=(1, 0, 2, 3)),
    "crossed-heads": Form(crossed=(2, 0, 1, 3)),
    "crossed-window": Form(crossed=(2, 0, 1, 3), attention="gqa", mask=True, window=20),
    "stacked-rotary": Form(cache="stacked", past="past_{}", present="present_{}", rotary=True, fused=True),
}


class _Builder:
    def __init__(self, form: Form) -> None:
        self.form = form
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.count = 0

    def op(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        self.count += 1
        names = [f"{kind.lower()}_{self.count}_{index}" for index in range(outputs)]
        made = helper.make_node(kind, inputs, names, name=f"{kind}_{self.count}", domain=domain, **attributes)
        self.nodes.append(made)
        return names[0] if outputs == 1 else names

    def integers(self, *values: int) -> str:
        name = f"i_{'_'.join(map(str, values))}"
        self.constants[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return name

    def weight(self, name: str, *shape: int, kind: int = TensorProto.FLOAT) -> str:
        bits = 32 if kind == TensorProto.FLOAT else 4 if kind == TensorProto.INT4 else 8
        size = -(-int(np.prod(shape)) * bits // 8)
        self.constants[name] = helper.make_tensor(name, kind, shape, bytes(size), raw=True)
        return name

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        weights = self.form.weights
        if weights == "blocked":
            packed = self.weight(f"{name}.q", outputs, inputs // 16, 8, kind=TensorProto.UINT8)
            scale = self.weight(f"{name}.scale", outputs * (inputs // 16))
            sizes: dict[str, Any] = {"K": inputs, "N": outputs, "bits": 4, "block_size": 16}
            return str(self.op("MatMulNBits", x, packed, scale, domain="com.microsoft", **sizes))
        if weights == "float":
            return str(self.op("MatMul", x, self.weight(name, inputs, outputs)))
        kinds = {"int8": TensorProto.INT8, "int4": TensorProto.INT4, "fp8": TensorProto.FLOAT8E4M3FN}
        stored = self.weight(f"{name}.q", inputs, outputs, kind=kinds[weights])
        scale = self.weight(f"{name}.scale", outputs)
        return str(self.op("MatMul", x, self.op("DequantizeLinear", stored, scale, axis=1)))

    def heads(self, x: str, count: int) -> str:
        return str(
            self.op("Transpose", self.op("Reshape", x, self.integers(0, 0, count, WIDTH)), perm=[0, 2, 1, 3])
        )

    def turned(self, heads: str) -> str:
        """Rotary positions, as exporters spell them."""
        first, second = self.op("Split", heads, outputs=2, axis=-1, num_outputs=2)
        half = self.op("Concat", self.op("Neg", second), first, axis=-1)
        cosine, sine = self.weight("cosine", WIDTH), self.weight("sine", WIDTH)
        return str(self.op("Add", self.op("Mul", heads, cosine), self.op("Mul", half, sine)))

    def products(self, parts: Sequence[str], past: Sequence[str]) -> tuple[str, str, str]:
        kv_heads = self.form.kv_heads
        new = [
            self.heads(part, count) for part, count in zip(parts, (HEADS, kv_heads, kv_heads), strict=True)
        ]
        if self.form.rotary:
            new[:2] = [self.turned(one) for one in new[:2]]
        query = new[0]
        key, value = (self.op("Concat", old, one, axis=2) for old, one in zip(past, new[1:], strict=True))
        if self.form.kept:
            last = self.integers(-self.form.kept), self.integers(2**62), self.integers(2)
            key, value = (self.op("Slice", one, *last) for one in (key, value))
        query = self.op("Reshape", query, self.integers(0, kv_heads, -1, WIDTH))
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        if self.form.known:
            total = self.op("Slice", self.op("Shape", key), self.integers(2), self.integers(3))
            table = self.weight("bias", 1, 1, 1, self.form.known)
            bias = self.op("Slice", table, self.integers(0), total, self.integers(3))
            scores = self.op("Add", scores, bias)
        if self.form.filled:
            sizes = self.op("Slice", self.op("Shape", scores), self.integers(2), self.integers(4))
            lowest = numpy_helper.from_array(np.array([-65504], np.float32))
            mask = self.op("Trilu", self.op("ConstantOfShape", sizes, value=lowest), upper=1)
            scores = self.op("Add", scores, mask)
        context = self.op("MatMul", self.op("Softmax", scores, axis=-1), value)
        context = self.op("Reshape", context, self.integers(0, HEADS, -1, WIDTH))
        context = self.op("Transpose", context, perm=[0, 2, 1, 3])
        return str(self.op("Reshape", context, self.integers(0, 0, HIDDEN))), key, value

    def attend(self, parts: Sequence[str], past: Sequence[str], *, looks_back: bool) -> Any:
        if self.form.attention == "products":
            return self.products(parts, past)
        if self.form.attention == "gqa":
            lengths = self.op("Cast", self.op("ReduceSum", "attention_mask", self.integers(1)), to=6)
            total = self.op("Gather", self.op("Shape", "attention_mask"), self.integers(1), axis=0)
            return self.op(
                "GroupQueryAttention",
                *(*parts, *past, lengths, self.op("Cast", total, to=6)),
                outputs=3,
                domain="com.microsoft",
                num_heads=HEADS,
                kv_num_heads=self.form.kv_heads,
                **({"local_window_size": self.form.window} if looks_back else {}),
            )
        heads: dict[str, Any] = {"q_num_heads": HEADS, "kv_num_heads": self.form.kv_heads}
        return self.op("Attention", *(*parts, "", *past), outputs=3, is_causal=1, **heads)

    def body(self, pasts: Sequence[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
        x = self.op("Gather", self.weight("words", WORDS, HIDDEN), "input_ids", axis=0)
        if self.form.positions:
            x = self.op(
                "Add", x, self.op("Gather", self.weight("places", 4096, HIDDEN), "position_ids", axis=0)
            )
        if self.form.crossed:
            heads = self.op("Reshape", x, self.integers(0, 0, HEADS, WIDTH))
            moved = self.op("Transpose", heads, perm=self.form.crossed)
            most, mean = (self.op(kind, moved, keepdims=0) for kind in ("ReduceMax", "ReduceMean"))
            x = self.op("Add", x, self.op("Mul", most, mean))
        grown = []
        for index, past in enumerate(pasts):
            name = f"layers.{index}"
            sizes = (HIDDEN, self.form.kv_heads * WIDTH, self.form.kv_heads * WIDTH)
            if self.form.fused:
                every = self.linear(x, f"{name}.qkv", HIDDEN, sum(sizes))
                parts = self.op("Split", every, self.integers(*sizes), outputs=3, axis=-1)
            else:
                parts = [
                    self.linear(x, f"{name}.{part}", HIDDEN, size)
                    for part, size in zip("qkv", sizes, strict=True)
                ]
            looks_back = self.form.window > 0 and index % 2 == 0
            context, key, value = self.attend(parts, past, looks_back=looks_back)
            grown.append((key, value))
            x = self.op("Add", x, self.linear(context, f"{name}.o", HIDDEN, HIDDEN))
            inner = self.op("Relu", self.linear(x, f"{name}.up", HIDDEN, INNER))
            x = self.op("Add", x, self.linear(inner, f"{name}.down", INNER, HIDDEN))
        return self.linear(x, "lm_head", HIDDEN, WORDS), grown


def _inputs(form: Form) -> list[onnx.ValueInfoProto]:
    batch, seq, past, total = form.sizes
    info = helper.make_tensor_value_info
    found = [info("input_ids", TensorProto.INT64, [batch, seq])]
    if form.mask:
        found.append(info("attention_mask", TensorProto.INT64, [batch, total]))
    if form.positions:
        found.append(info("position_ids", TensorProto.INT64, [batch, seq]))
    one: list[Any] = [batch, form.kv_heads, past, WIDTH]
    if form.cache == "stacked":
        found += [
            info(form.past.format(part), TensorProto.FLOAT, [form.layers, *one]) for part in ("key", "value")
        ]
    else:
        found += [
            info(form.past.format(index, part), TensorProto.FLOAT, one)
            for index in range(form.layers)
            for part in ("key", "value")
        ]
    if form.merged:
        found.append(info("use_cache_branch", TensorProto.BOOL, [1]))
    return found


def build(form: Form) -> onnx.ModelProto:
    """The decoder."""
    builder, inputs = _Builder(form), _inputs(form)
    batch, seq, _, total = form.sizes
    names = [value.name for value in inputs if len(value.type.tensor_type.shape.dim) > 2]
    if form.cache == "stacked":
        slices = [
            [builder.op("Gather", name, builder.integers(index), axis=0) for name in names]
            for index in range(form.layers)
        ]
        pasts = [
            (
                builder.op("Squeeze", key, builder.integers(0)),
                builder.op("Squeeze", value, builder.integers(0)),
            )
            for key, value in slices
        ]
    else:
        pasts = list(zip(names[::2], names[1::2], strict=True))
    logits, grown = builder.body(pasts)
    if form.cache == "stacked":
        stacked = [
            builder.op(
                "Concat", *(builder.op("Unsqueeze", one, builder.integers(0)) for one in parts), axis=0
            )
            for parts in zip(*grown, strict=True)
        ]
        kept = {form.present.format(part): one for part, one in zip(("key", "value"), stacked, strict=True)}
        shape: list[Any] = [form.layers, batch, form.kv_heads, total, WIDTH]
    else:
        kept = {
            form.present.format(index, part): one
            for index, pair in enumerate(grown)
            for part, one in zip(("key", "value"), pair, strict=True)
        }
        shape = [batch, form.kv_heads, total, WIDTH]
    made = {"logits": logits, **kept}
    shapes = {"logits": [batch, seq, WORDS], **dict.fromkeys(kept, shape)}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in made]
    nodes = [*builder.nodes, *(helper.make_node("Identity", [made[name]], [name]) for name in made)]
    if form.merged:
        nodes = _branches(nodes, outputs)
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, [*builder.constants.values()])
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=11)


def _branches(nodes: list[onnx.NodeProto], outputs: Sequence[onnx.ValueInfoProto]) -> list[onnx.NodeProto]:
    """An If whose else-branch has no cache: it makes logits of the embeddings and passes the rest on."""
    names = [value.name for value in outputs]
    plain = [
        helper.make_node("Gather", ["words", "input_ids"], ["embedded"], axis=0),
        helper.make_node("MatMul", ["embedded", "lm_head"], ["plain.logits"]),
        *(
            helper.make_node("Identity", [name.replace("present", "past_key_values")], [f"plain.{name}"])
            for name in names[1:]
        ),
    ]
    told = [helper.make_tensor_value_info(f"plain.{name}", TensorProto.FLOAT, None) for name in names]
    branches = {
        "then_branch": helper.make_graph(nodes, "cached", [], list(outputs)),
        "else_branch": helper.make_graph(plain, "plain", [], told),
    }
    chosen = [f"{name}.chosen" for name in names]
    merged = helper.make_node("If", ["use_cache_branch"], chosen, name="merged", **branches)
    given = zip(chosen, names, strict=True)
    return [merged, *(helper.make_node("Identity", [one], [name]) for one, name in given)]


def graph_of(form: Form, source: str, batch: int, seq: int, past: int) -> LayerGraph:
    """The decoder's graph, bound to so many sequences of so many new and cached tokens."""
    dims = dict(zip(form.sizes[:3], (batch, seq, past), strict=True))
    if form.mask:
        dims[form.sizes[3]] = past + seq
    return load_graph(source, dims=dims, values={"use_cache_branch": (1.0,)} if form.merged else {})
