"""Attention operators of the domain com.microsoft."""

from __future__ import annotations

from dataclasses import replace

from layerweaver.frontend.node.operation import Operation, axis_for
from layerweaver.frontend.node.registry import MICROSOFT, Treatment, lowers
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.attention import (
    Heads,
    attention_steps,
    given,
    result,
    split_heads,
)
from layerweaver.ir import LayerKind, MatrixWork, VectorCategory


def _projected(
    operation: Operation, *, mask: int, past: int, packed: bool, quantized: bool
) -> tuple[Step, ...]:
    shape = operation.shape(0, least_rank=2)
    width = shape[-1]
    batch, tokens = (1, shape[0]) if len(shape) == 2 else (shape[0], shape[1])
    rows = batch * tokens
    projection = operation.shape(1, least_rank=2)[1]
    heads = operation.integer("num_heads", 1)
    if heads < 1:
        raise operation.error(f"num_heads is {heads}", accepted="a positive number")
    sizes = operation.integers("qkv_hidden_sizes", (projection // 3,) * 3)
    if len(sizes) != 3:
        raise operation.error(f"qkv_hidden_sizes has {len(sizes)} entries", accepted="three")
    earlier = 0
    if not packed and operation.has_input(past):
        earlier = operation.shape(past, least_rank=5)[3]
    if packed and operation.has_input(4):
        offsets = operation.shape(3, least_rank=2)
        batch, tokens = offsets[0], offsets[1]
    joined = f"{operation.key}:qkv"
    parameters = operation.weights(1, 2)
    if quantized:
        parameters += operation.weights(3, 4, 6, 7, role="vector")
    project = Step(
        LayerKind.MATRIX,
        reads=given(operation, 0),
        writes=(joined,),
        matrix=MatrixWork(
            1,
            rows,
            projection,
            width,
            operation.constant(1),
            1,
            axis_for(operation.batched),
        ),
        weights=parameters,
        suffix="qkv",
        role="attention-projection",
        internal={joined: rows * projection},
    )
    grown = result(operation, 1)
    extent = Heads(batch, heads, tokens, tokens + earlier, sizes[0] // heads, sizes[2] // heads)
    extra = (mask, 5) if not quantized else (mask,)
    steps = attention_steps(
        operation,
        extent,
        query_key=(joined, *given(operation, *extra, past)),
        values=(joined, *given(operation, past)),
        caches=("", grown),
        appended=(0, rows * (sizes[1] + sizes[2])),
        extra=1 if operation.has_input(mask) else 0,
    )
    if not earlier:
        return (project, *steps)
    # One tensor holds the keys and the values: each step reads its half.
    half = {operation.node.inputs[past]: operation.elements(past) // 2}
    return (project, *(replace(step, partial=half) for step in steps))


@lowers("Attention", domain=MICROSOFT, treatment=Treatment.MATRIX)
def attention(operation: Operation) -> tuple[Step, ...]:
    """Projection of queries, keys and values in one product, then the attention."""
    return _projected(operation, mask=3, past=4, packed=False, quantized=False)


@lowers("QAttention", domain=MICROSOFT, treatment=Treatment.MATRIX)
def quantized_attention(operation: Operation) -> tuple[Step, ...]:
    """The same with an 8-bit projection."""
    return _projected(operation, mask=5, past=8, packed=False, quantized=True)


@lowers("PackedAttention", domain=MICROSOFT, treatment=Treatment.MATRIX)
def packed_attention(operation: Operation) -> tuple[Step, ...]:
    """Tokens without padding are projected; the attention is costed at the padded length."""
    return _projected(operation, mask=5, past=-1, packed=True, quantized=False)


@lowers("MultiHeadAttention", "DecoderMaskedMultiHeadAttention", domain=MICROSOFT, treatment=Treatment.MATRIX)
def multi_head_attention(operation: Operation) -> tuple[Step, ...]:
    """Attention over projected operands, separate or packed into the query."""
    masked = operation.operator.startswith("Decoder")
    bias = 10 if masked else 3
    past = (5, 6) if masked else (6, 7)
    masks = (3, 4) if masked else (4, 5)
    heads = max(1, operation.integer("num_heads", 1))
    query = operation.shape(0, least_rank=3)
    if len(query) == 5:
        batch, queries, size = query[0], query[1], query[4]
        keys = queries
        value_size = size
    else:
        batch, heads, queries, size = split_heads(operation, 0, heads)
        key = operation.shape(1, least_rank=3) if operation.has_input(1) else query
        if len(key) == 5:
            keys, value_size = key[1], key[4]
        else:
            keys = key[2] if len(key) == 4 else key[1]
            value = operation.shape(2, least_rank=3) if operation.has_input(2) else key
            value_size = value[3] if len(value) == 4 else value[2] // heads
    cached = operation.shape(past[0], least_rank=4)[2] if operation.has_input(past[0]) else 0
    scores, context = attention_steps(
        operation,
        Heads(batch, heads, queries, keys + cached, size, value_size),
        query_key=given(operation, 0, 1, *masks, past[0]),
        values=given(operation, 2, past[1]) or given(operation, 1) or given(operation, 0),
        caches=(result(operation, 1), result(operation, 2)),
        appended=(batch * heads * keys * size, batch * heads * keys * value_size),
        extra=sum(1 for mask in masks if operation.has_input(mask)),
    )
    return replace(scores, weights=operation.weights(bias)), context


@lowers("GroupQueryAttention", domain=MICROSOFT, treatment=Treatment.MATRIX)
def group_query_attention(operation: Operation) -> tuple[Step, ...]:
    """Attention with fewer key and value heads, with its cache and rotary embedding inside."""
    heads = max(1, operation.integer("num_heads", 1))
    kv_heads = max(1, operation.integer("kv_num_heads", heads))
    batch, queries, width = operation.shape(0, least_rank=3)[:3]
    size = width // heads if operation.has_input(1) else width // (heads + 2 * kv_heads)
    past = operation.shape(3, least_rank=4)[2] if operation.has_input(3) else 0
    present = operation.output_shape(1, least_rank=4)[2] if operation.has_output(1) else 0
    total = operation.value(6)
    if total is not None and total.size == 1:
        keys = int(total.reshape(-1)[0])
    else:
        keys = present if present > past else max(past, queries)
    rows = batch * kv_heads * queries * size
    scores, context = attention_steps(
        operation,
        Heads(batch, heads, queries, keys, size, size),
        query_key=given(operation, 0, 1, 3, 5, 6, 7, 8, 9, 10),
        values=given(operation, 2, 4) if operation.has_input(2) else given(operation, 0, 4),
        caches=(result(operation, 1), result(operation, 2)),
        appended=(rows, rows),
    )
    if operation.integer("do_rotary", 0):
        rotated = batch * queries * (heads + kv_heads) * size
        rotary = operation.vector(VectorCategory.TRANSCENDENTAL, rotated, operator="RotaryEmbedding")
        scores = replace(
            scores,
            vector=(rotary, *scores.vector),
            weights=operation.weights(7, 8, role="vector"),
        )
    return scores, context
