"""Attention as one operator: scores with their softmax, then context."""

from __future__ import annotations

from dataclasses import dataclass

from layerweaver.frontend.node.registry import MATRIX, MICROSOFT, RECURRENT, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step, WeightRead
from layerweaver.frontend.operators.products import inner_step
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
    call: Call,
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
        call: The node; result 0 is the context.
        heads: Extents.
        query_key: Operands of the scores: queries, keys, a cache, masks.
        values: Operands of the context besides the scores.
        caches: Results that hold the grown key and value caches ("" when there are none).
        appended: New elements in each of them.
        extra: Further elementwise passes over the scores (scaling by a mask, capping).
    """
    groups = heads.batch * heads.heads
    axis = axis_for(call.batched, BatchAxis.GROUPS)
    scores = groups * heads.queries * heads.keys
    weights_name = f"{call.key}:scores"
    names = {name for name in call.node.outputs[1:] if name and name not in caches}
    passes = tuple(call.vector(VectorCategory.ELEMENTWISE, scores) for _ in range(extra))
    return (
        Step(
            LayerKind.MATRIX,
            reads=query_key,
            writes=(weights_name, *((caches[0],) if caches[0] else ()), *sorted(names)),
            matrix=MatrixWork(groups, heads.queries, heads.keys, heads.size, False, 1, axis),
            vector=(*passes, call.vector(VectorCategory.SOFTMAX, scores)),
            suffix="scores",
            role="attention-scores",
            internal={weights_name: scores},
            appended={caches[0]: appended[0]} if caches[0] and appended[0] else None,
        ),
        Step(
            LayerKind.MATRIX,
            reads=(weights_name, *values),
            writes=(call.node.outputs[0], *((caches[1],) if caches[1] else ())),
            matrix=MatrixWork(groups, heads.queries, heads.value_size, heads.keys, False, 1, axis),
            suffix="context",
            role="attention-context",
            appended={caches[1]: appended[1]} if caches[1] and appended[1] else None,
        ),
    )


def projected(call: Call, name: str, work: MatrixWork, *, parameters: tuple[WeightRead, ...]) -> Step:
    """A product of the tokens before the attention, whose result stays inside of the operator."""
    reads = call.input_names(0)
    return inner_step(call, name, work, reads=reads, parameters=parameters, role="attention-projection")


def _heads_apart(call: Call, index: int, heads: int) -> tuple[int, int, int, int]:
    """Input ``index`` as (batch, heads, positions, width), whether its heads are packed or not."""
    shape = call.shape(index)
    if len(shape) == 4:
        batch, count, positions, width = shape
        return batch, count, positions, width
    if len(shape) != 3 or heads < 1 or shape[2] % heads:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit {heads} heads")
    return shape[0], heads, shape[1], shape[2] // heads


def _attention_shape(call: Call) -> tuple[Info, ...]:
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
    packed = len(call.shape(0)) == 3
    return (
        Info(
            dtype,
            (batch, positions, heads * value_width) if packed else (batch, heads, positions, value_width),
        ),
        Info(call.dtype(1), (batch, kv_heads, total, key_width)),
        Info(call.dtype(2), (batch, kv_heads, total, value_width)),
        Info(dtype, (batch, heads, positions, total)),
    )


def _flex_attention_shape(call: Call) -> tuple[Info]:
    query, value = call.shape(0), call.shape(2)
    if not query or not value:
        raise ShapeConflictError(f"queries of {text(query)} and values of {text(value)} do not fit")
    return (Info(call.dtype(0), (*query[:-1], value[-1])),)


@operator("Attention", since=23, shape=_attention_shape, treatment=MATRIX)
@operator("FlexAttention", domain="ai.onnx.preview", shape=_flex_attention_shape, treatment=MATRIX)
def attention(call: Call) -> tuple[Step, Step]:
    """Scaled dot-product attention over projected operands; causal masks save nothing on an array."""
    query_heads = call.integer("q_num_heads", 1)
    batch, heads, queries, size = _heads_apart(call, 0, query_heads)
    _, kv_heads, keys, _ = _heads_apart(call, 1, call.integer("kv_num_heads", query_heads))
    _, _, _, value_size = _heads_apart(call, 2, kv_heads)
    past = call.shape(4, least_rank=4)[2] if call.has(4) else 0
    extra = (1 if call.has(3) else 0) + (1 if "softcap" in call.attributes else 0)
    return attention_steps(
        call,
        Heads(batch, heads, queries, keys + past, size, value_size),
        query_key=call.input_names(0, 1, 3, 4, 6),
        values=call.input_names(2, 5),
        caches=(call.output_name(1), call.output_name(2)),
        appended=(call.elements(1), call.elements(2)),
        extra=extra,
    )


def _linear_attention_shape(call: Call) -> tuple[Info, ...]:
    heads, kv_heads = call.integer("q_num_heads", 0), call.integer("kv_num_heads", 0)
    batch, heads, steps, width = _heads_apart(call, 0, heads)
    _, kv_heads, _, value_width = _heads_apart(call, 2, kv_heads)
    state = call.dtype(3) if call.has(3) else call.dtype(0)
    window = call.integer("state_window", 0)
    return (
        Info(call.dtype(0), (batch, steps, max(heads, kv_heads) * value_width)),
        Info(state, (*((window,) if window > 0 else ()), batch, kv_heads, width, value_width)),
    )


@operator("LinearAttention", shape=_linear_attention_shape, treatment=RECURRENT)
@operator("LinearAttention", domain=MICROSOFT, shape=_linear_attention_shape, treatment=RECURRENT)
def linear_attention(call: Call) -> Step:
    """A matrix-valued state per head: read, updated and queried at every token.

    Counted per token: one product with the state per head of the output (query heads, or value heads where
    they are more), one outer product per value head for the update (and one more read of the state for the
    delta rules).
    """
    batch, tokens, width = call.shape(0, least_rank=3)[:3]
    heads = max(1, call.integer("q_num_heads", 1))
    kv_heads = max(1, call.integer("kv_num_heads", heads))
    size = width // heads
    value_size = call.shape(2, least_rank=3)[2] // kv_heads
    updates = 2 if call.text("update_rule", "gated_delta").endswith("delta") else 1
    work = MatrixWork(
        groups=batch * (max(heads, kv_heads) + updates * kv_heads),
        m=1,
        n=value_size,
        k=size,
        weights=False,
        steps=tokens,
        batch_axis=axis_for(call.batched, BatchAxis.GROUPS),
    )
    decay = call.vector(VectorCategory.TRANSCENDENTAL, batch * tokens * kv_heads * size)
    return Step(LayerKind.RECURRENT, matrix=work, vector=(decay,))
