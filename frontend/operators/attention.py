"""Attention as one operator: scores with their softmax, then context."""

from __future__ import annotations

from dataclasses import dataclass

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation, axis_for
from layerweaver.frontend.node.registry import MICROSOFT, Treatment, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.work import Step
from layerweaver.ir import BatchAxis, LayerKind, MatrixWork, VectorCategory


@dataclass(frozen=True, slots=True)
class Heads:
    """Extents of one attention.

    Attributes:
        batch: Sequences.
        heads: Query heads.
        queries: Query tokens.
        keys: Tokens attended to, those of a cache included.
        size: Width of a head's queries and keys.
        value_size: Width of a head's values.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    size: int
    value_size: int


def attention_steps(
    operation: Operation,
    heads: Heads,
    *,
    query_key: tuple[str, ...],
    values: tuple[str, ...],
    caches: tuple[str, str] = ("", ""),
    appended: tuple[int, int] = (0, 0),
    extra: int = 0,
) -> tuple[Step, Step]:
    """Scores and context of one attention.

    Args:
        operation: The node; result 0 is the context.
        heads: Extents.
        query_key: Operands of the scores: queries, keys, a cache, masks.
        values: Operands of the context besides the scores.
        caches: Results that hold the grown key and value caches ("" when there are none).
        appended: New elements in each of them.
        extra: Further elementwise passes over the scores (scaling by a mask, capping).
    """
    groups = heads.batch * heads.heads
    axis = axis_for(operation.batched, BatchAxis.GROUPS)
    scores = groups * heads.queries * heads.keys
    weights_name = f"{operation.key}:scores"
    names = {name for name in operation.node.outputs[1:] if name and name not in caches}
    passes = tuple(operation.vector(VectorCategory.ELEMENTWISE, scores) for _ in range(extra))
    return (
        Step(
            LayerKind.MATRIX,
            reads=query_key,
            writes=(weights_name, *((caches[0],) if caches[0] else ()), *sorted(names)),
            matrix=MatrixWork(groups, heads.queries, heads.keys, heads.size, False, 1, axis),
            vector=(*passes, operation.vector(VectorCategory.SOFTMAX, scores)),
            suffix="scores",
            role="attention-scores",
            internal={weights_name: scores},
            appended={caches[0]: appended[0]} if caches[0] and appended[0] else None,
        ),
        Step(
            LayerKind.MATRIX,
            reads=(weights_name, *values),
            writes=(operation.node.outputs[0], *((caches[1],) if caches[1] else ())),
            matrix=MatrixWork(groups, heads.queries, heads.value_size, heads.keys, False, 1, axis),
            suffix="context",
            role="attention-context",
            appended={caches[1]: appended[1]} if caches[1] and appended[1] else None,
        ),
    )


def given(operation: Operation, *indices: int) -> tuple[str, ...]:
    """Names of those operands among ``indices`` that are given."""
    return tuple(operation.node.inputs[index] for index in indices if operation.has_input(index))


def result(operation: Operation, index: int) -> str:
    """Name of result ``index``, "" when it is not asked for."""
    return operation.node.outputs[index] if operation.has_output(index) else ""


def split_heads(operation: Operation, index: int, heads: int) -> tuple[int, int, int, int]:
    """(batch, heads, tokens, head size) of operand ``index``, packed (3 axes) or per head (4 axes)."""
    shape = operation.shape(index, least_rank=3)
    if len(shape) == 3:
        heads = max(1, heads)
        return shape[0], heads, shape[1], shape[2] // heads
    return shape[0], shape[1], shape[2], shape[3]


@lowers("Attention", since=23, treatment=Treatment.MATRIX)
@lowers("FlexAttention", domain="ai.onnx.preview", treatment=Treatment.MATRIX)
def attention(operation: Operation) -> tuple[Step, Step]:
    """Scaled dot-product attention over projected operands; causal masks save nothing on an array."""
    query_heads = operation.integer("q_num_heads", 1)
    batch, heads, queries, size = split_heads(operation, 0, query_heads)
    _, kv_heads, keys, _ = split_heads(operation, 1, operation.integer("kv_num_heads", query_heads))
    _, _, _, value_size = split_heads(operation, 2, kv_heads)
    past = operation.shape(4, least_rank=4)[2] if operation.has_input(4) else 0
    extra = (1 if operation.has_input(3) else 0) + (1 if "softcap" in operation.node.attributes else 0)
    return attention_steps(
        operation,
        Heads(batch, heads, queries, keys + past, size, value_size),
        query_key=given(operation, 0, 1, 3, 4, 6),
        values=given(operation, 2, 5),
        caches=(result(operation, 1), result(operation, 2)),
        appended=(operation.elements(1), operation.elements(2)),
        extra=extra,
    )


def _heads_apart(call: Call, index: int, heads: int) -> tuple[int, int, int, int]:
    """Input ``index`` as (batch, heads, positions, width), whether its heads are packed or not."""
    shape = call.shape(index)
    if len(shape) == 4:
        batch, count, positions, width = shape
        return batch, count, positions, width
    if len(shape) != 3 or heads < 1 or shape[2] % heads:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit {heads} heads")
    return shape[0], heads, shape[1], shape[2] // heads


@rule("Attention", foldable=False)
def _attention(call: Call) -> tuple[Info, ...]:
    heads, kv_heads = call.integer("q_num_heads", 0), call.integer("kv_num_heads", 0)
    batch, heads, positions, width = _heads_apart(call, 0, heads)
    _, kv_heads, keys, key_width = _heads_apart(call, 1, kv_heads)
    _, _, values, value_width = _heads_apart(call, 2, kv_heads)
    if width != key_width or keys != values or kv_heads < 1 or heads % kv_heads:
        raise ShapeConflictError(
            f"queries of {text(call.shape(0))}, keys of {text(call.shape(1))} and values of"
            f" {text(call.shape(2))} do not fit"
        )
    past = call.shape(4)[2] if call.has(4) else 0
    total, dtype = past + keys, call.dtype(0)
    if len(call.shape(0)) == 3:
        result: tuple[int, ...] = (batch, positions, heads * value_width)
    else:
        result = (batch, heads, positions, value_width)
    return (
        Info(dtype, result),
        Info(call.dtype(1), (batch, kv_heads, total, key_width)),
        Info(call.dtype(2), (batch, kv_heads, total, value_width)),
        Info(dtype, (batch, heads, positions, total)),
    )


@rule("FlexAttention", domain="ai.onnx.preview", foldable=False)
def _flex_attention(call: Call) -> tuple[Info]:
    query, value = call.shape(0), call.shape(2)
    if not query or not value:
        raise ShapeConflictError(f"queries of {text(query)} and values of {text(value)} do not fit")
    return (Info(call.dtype(0), (*query[:-1], value[-1])),)


@rule("LinearAttention", foldable=False)
def _linear_attention(call: Call) -> tuple[Info, ...]:
    heads, kv_heads = call.integer("q_num_heads", 0), call.integer("kv_num_heads", 0)
    batch, heads, steps, width = _heads_apart(call, 0, heads)
    _, kv_heads, _, value_width = _heads_apart(call, 2, kv_heads)
    state = call.dtype(3) if call.has(3) else call.dtype(0)
    return (
        Info(call.dtype(0), (batch, steps, heads * value_width)),
        Info(state, (batch, kv_heads, width, value_width)),
    )


rule("LinearAttention", domain=MICROSOFT, foldable=False)(_linear_attention)


def _rotary(call: Call) -> tuple[Info]:
    return call.like(0)


rule("RotaryEmbedding", roots_from=(0,))(_rotary)


rule("RotaryEmbedding", "GemmaRotaryEmbedding", domain=MICROSOFT, roots_from=(0,))(_rotary)


@rule("Attention", "QAttention", domain=MICROSOFT, foldable=False)
def _packed_weight_attention(call: Call) -> tuple[Info, ...]:
    shape, weight = call.shape(0), call.shape(1)
    if len(shape) != 3 or len(weight) != 2 or shape[2] != weight[0]:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    batch, positions, _ = shape
    sizes = call.integer_list("qkv_hidden_sizes")
    hidden = sizes[2] if sizes and len(sizes) == 3 else weight[1] // 3
    quantised = call.op == "QAttention"
    dtype = call.dtype(3) if quantised else call.dtype(0)
    past_index = 8 if quantised else 4
    heads = max(call.integer("num_heads", 1), 1)
    past = call.shape(past_index)[3] if call.has(past_index) else 0
    present = (2, batch, heads, past + positions, hidden // heads)
    return Info(dtype, (batch, positions, hidden)), Info(dtype, present)


@rule("MultiHeadAttention", "DecoderMaskedMultiHeadAttention", domain=MICROSOFT, foldable=False)
def _multi_head_attention(call: Call) -> tuple[Info, ...]:
    query, heads, dtype = call.shape(0), max(call.integer("num_heads", 1), 1), call.dtype(0)
    batch, positions = query[0], query[1]
    width = query[4] if len(query) == 5 else query[2] // heads
    keys, value_width = positions, width
    if call.has(1):
        key = call.shape(1)
        keys = key[2] if len(key) == 4 else key[1]
    if call.has(2):
        value = call.shape(2)
        value_width = value[3] if len(value) == 4 else value[2] // heads
    past_index = 5 if call.op.startswith("Decoder") else 6
    past = call.shape(past_index)[2] if call.has(past_index) else 0
    total = past + keys
    return (
        Info(dtype, (batch, positions, heads * value_width)),
        Info(dtype, (batch, heads, total, width)),
        Info(dtype, (batch, heads, total, value_width)),
        Info(dtype, (batch, heads, positions, total)),
    )


@rule("GroupQueryAttention", "SparseAttention", domain=MICROSOFT, foldable=False)
def _group_query_attention(call: Call) -> tuple[Info, ...]:
    query, dtype = call.shape(0), call.dtype(0)
    heads, kv_heads = max(call.integer("num_heads", 1), 1), max(call.integer("kv_num_heads", 1), 1)
    packed = not call.has(1)
    width = query[2] // (heads + 2 * kv_heads) if packed else query[2] // heads
    batch, positions = query[0], query[1]
    past = call.shape(3)[2] if call.has(3) else 0
    total_index = 6 if call.op == "GroupQueryAttention" else 5
    known = call.value(total_index)
    total = max(past, int(known.ravel()[0])) if known is not None and known.size else past + positions
    present = Info(call.dtype(3) if call.has(3) else dtype, (batch, kv_heads, total, width))
    return (
        Info(dtype, (batch, positions, heads * width)),
        present,
        Info(present.dtype, present.shape),
        Info(dtype, (batch, heads, positions, total)),
    )


@rule("PackedMultiHeadAttention", domain=MICROSOFT, foldable=False)
def _packed_multi_head_attention(call: Call) -> tuple[Info]:
    query = call.shape(0)
    if len(query) == 4:
        return (Info(call.dtype(0), (query[0], query[1] * query[3])),)
    return (Info(call.dtype(0), (query[0], call.shape(2)[1] if call.has(2) else query[1])),)


@rule("PackedAttention", domain=MICROSOFT, foldable=False)
def _packed_attention(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0), call.shape(1)
    sizes = call.integer_list("qkv_hidden_sizes")
    return (Info(call.dtype(0), (*shape[:-1], sizes[2] if sizes else weight[1] // 3)),)


@rule("RelativePositionBias", domain=MICROSOFT, roots_from=(0,))
def _relative_position_bias(call: Call) -> tuple[Info]:
    length, other = call.integers(1)[0], call.integers(2)[0]
    return (Info(call.dtype(0), (1, call.shape(0)[1], length, other)),)


@rule("GatedRelativePositionBias", domain=MICROSOFT, foldable=False)
def _gated_relative_position_bias(call: Call) -> tuple[Info]:
    shape, heads = call.shape(0), call.integer("num_heads", 1)
    return (Info(call.dtype(0), (shape[0], heads, shape[1], shape[1])),)


@rule("MoE", "QMoE", domain=MICROSOFT, foldable=False)
def _mixture_of_experts(call: Call) -> tuple[Info]:
    return call.like(0)
