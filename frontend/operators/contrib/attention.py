"""Attention operators of the domain com.microsoft."""

from __future__ import annotations

from dataclasses import replace

from layerweaver.frontend.node.registry import MATRIX, MICROSOFT, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import WINDOW, Step
from layerweaver.frontend.operators.attention import Heads, attention_steps, projected
from layerweaver.frontend.operators.products import dense
from layerweaver.ir import LayerKind, VectorCategory
from layerweaver.ir.text import counted


def _shares_buffer(call: Call) -> bool:
    """Whether new rows are written into the buffer of the past, which is as long as it will ever be."""
    return call.integer("past_present_share_buffer", 0) != 0


def _filled(call: Call, length: int, fresh: int, room: int) -> int:
    """Keys in a buffer of ``room`` once ``fresh`` are in it: all of it unless input ``length`` is known."""
    known = call.value(length)
    return room if known is None or known.size != 1 else min(room, int(known.ravel()[0]) + fresh)


def _projected(call: Call, *, mask: int, past: int, packed: bool, quantized: bool) -> tuple[Step, ...]:
    shape = call.shape(0, least_rank=2)
    width = shape[-1]
    batch, tokens = (1, shape[0]) if len(shape) == 2 else (shape[0], shape[1])
    rows = batch * tokens
    projection = call.shape(1, least_rank=2)[1]
    heads = call.integer("num_heads", 1)
    if heads < 1:
        raise ShapeConflictError(f"num_heads is {heads}", accepted="a positive number")
    sizes = tuple(call.integer_list("qkv_hidden_sizes") or (projection // 3,) * 3)
    if len(sizes) != 3:
        raise ShapeConflictError(
            f"qkv_hidden_sizes has {counted(len(sizes), 'entry', 'entries')}", accepted="three"
        )
    earlier = 0
    if not packed and call.has(past):
        earlier = call.shape(past, least_rank=5)[3]
        if _shares_buffer(call):
            filled = earlier if quantized else _filled(call, 6, tokens, earlier)
            earlier = max(0, filled - tokens)
    if packed and call.has(4):
        offsets = call.shape(3, least_rank=2)
        batch, tokens = offsets[0], offsets[1]
    parameters = call.weights(1, 2)
    if quantized:
        parameters += call.weights(3, 4, 6, 7, role="vector")
    project = projected(call, "qkv", dense(call, projection, rows=rows, depth=width), parameters=parameters)
    joined = f"{call.key}:qkv"
    grown = call.output_name(1)
    extent = Heads(batch, heads, tokens, tokens + earlier, sizes[0] // heads, sizes[2] // heads)
    extra = (mask, 5) if not quantized else (mask,)
    steps = attention_steps(
        call,
        extent,
        query_key=(joined, *call.input_names(*extra, past)),
        values=(joined, *call.input_names(past)),
        caches=("", grown),
        appended=(0, rows * (sizes[1] + sizes[2])),
        extra=1 if call.has(mask) else 0,
    )
    if not earlier:
        return (project, *steps)
    # One tensor holds the keys and the values: each step reads its half.
    half = {call.node.inputs[past]: call.elements(past) // 2}
    return (project, *(replace(step, partial=half) for step in steps))


def _packed_weight_shape(call: Call) -> tuple[Info, ...]:
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
    total = past if _shares_buffer(call) else past + positions
    present = (2, batch, heads, total, hidden // heads)
    return Info(dtype, (batch, positions, hidden)), Info(dtype, present)


@operator(
    "Attention", "DecoderMaskedSelfAttention", domain=MICROSOFT, shape=_packed_weight_shape, treatment=MATRIX
)
def attention(call: Call) -> tuple[Step, ...]:
    """Projection of queries, keys and values in one product, then the attention."""
    return _projected(call, mask=3, past=4, packed=False, quantized=False)


@operator("QAttention", domain=MICROSOFT, shape=_packed_weight_shape, treatment=MATRIX)
def quantized_attention(call: Call) -> tuple[Step, ...]:
    """The same with an 8-bit projection."""
    return _projected(call, mask=5, past=8, packed=False, quantized=True)


def _packed_attention_shape(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0), call.shape(1)
    sizes = call.integer_list("qkv_hidden_sizes")
    return (Info(call.dtype(0), (*shape[:-1], sizes[2] if sizes else weight[1] // 3)),)


@operator("PackedAttention", domain=MICROSOFT, shape=_packed_attention_shape, treatment=MATRIX)
def packed_attention(call: Call) -> tuple[Step, ...]:
    """Tokens without padding are projected; the attention is costed at the padded length."""
    return _projected(call, mask=5, past=-1, packed=True, quantized=False)


def _multi_head_extents(call: Call) -> tuple[Heads, int, int]:
    """What the attention covers, how many of its keys are new, and how many the caches then have room for."""
    masked = call.op.startswith("Decoder")
    query, heads = call.shape(0, least_rank=3), max(1, call.integer("num_heads", 1))
    batch, queries = query[:2]
    size = query[4] if len(query) == 5 else query[2] // heads
    if masked and len(query) == 3 and not call.has(1):
        size //= 3  # queries, keys and values side by side
    fresh, value_size = queries, size
    if call.has(1):
        key = call.shape(1, least_rank=3)
        fresh = key[2] if len(key) == 4 else key[1]
    if call.has(2):
        value = call.shape(2, least_rank=3)
        value_size = value[3] if len(value) == 4 else value[2] // heads
    past, length = (5, 7) if masked else (6, 8)
    held = call.shape(past, least_rank=4)[2] if call.has(past) else 0
    keys = room = held + fresh
    if held and (_shares_buffer(call) if masked else call.has(length)):
        keys, room = _filled(call, length, fresh, held), held
    return Heads(batch, heads, queries, keys, size, value_size), fresh, room


def _multi_head_shape(call: Call) -> tuple[Info, ...]:
    extent, _, room = _multi_head_extents(call)
    dtype, batch, heads = call.dtype(0), extent.batch, extent.heads
    return (
        Info(dtype, (batch, extent.queries, heads * extent.value_size)),
        Info(dtype, (batch, heads, room, extent.size)),
        Info(dtype, (batch, heads, room, extent.value_size)),
        Info(dtype, (batch, heads, extent.queries, extent.keys)),
    )


@operator(
    "MultiHeadAttention",
    "DecoderMaskedMultiHeadAttention",
    domain=MICROSOFT,
    shape=_multi_head_shape,
    treatment=MATRIX,
)
def multi_head_attention(call: Call) -> tuple[Step, ...]:
    """Attention over projected operands, separate or packed into the query."""
    masked = call.op.startswith("Decoder")
    bias = 10 if masked else 3
    past = (5, 6) if masked else (6, 7)
    masks = (3, 4) if masked else (4, 5)
    extent, fresh, _ = _multi_head_extents(call)
    rows = extent.batch * extent.heads * fresh
    scores, context = attention_steps(
        call,
        extent,
        query_key=call.input_names(0, 1, *masks, past[0]),
        values=call.input_names(2, past[1]) or call.input_names(1) or call.input_names(0),
        caches=(call.output_name(1), call.output_name(2)),
        appended=(rows * extent.size, rows * extent.value_size),
        extra=sum(1 for mask in masks if call.has(mask)),
    )
    return replace(scores, weights=call.weights(bias)), context


def _stated_keys(call: Call) -> int | None:
    """Keys of the longest sequence: the total length, or the places of the last keys; None if unknown."""
    total, last = call.value(6), call.value(5)
    if total is not None and total.size == 1:
        return int(total.reshape(-1)[0])
    return int(last.max()) + 1 if last is not None and last.size else None


def _group_query_attention_shape(call: Call) -> tuple[Info, ...]:
    query, dtype = call.shape(0), call.dtype(0)
    heads, kv_heads = max(call.integer("num_heads", 1), 1), max(call.integer("kv_num_heads", 1), 1)
    packed = not call.has(1)
    width = query[2] // (heads + 2 * kv_heads) if packed else query[2] // heads
    batch, positions = query[0], query[1]
    past = call.shape(3)[2] if call.has(3) else 0
    known = _stated_keys(call)
    declared = call.declared(1).shape
    total = past + positions
    if call.integer("sliding_window_cache", 0):
        total = past or positions  # the buffers are as long as the window: old rows leave them
    elif known is not None:
        total = max(past, known)
    elif past and declared is not None and declared[2:3] == (past,):
        total = past  # the present is declared as long as the past: one buffer holds both
        what = f"how many of the {past} rows of its shared buffer are filled depends on data: taken as all"
        call.note(what, of=6 if call.has(6) else 5)
    stored = call.info(3) if call.has(3) else Info(dtype, (width,))
    present = Info(stored.dtype, (batch, kv_heads, total, *(stored.shape or (width,))[-1:]))
    return (
        Info(dtype, (batch, positions, heads * width)),
        present,
        Info(present.dtype, present.shape),
        Info(dtype, (batch, heads, positions, total)),
    )


@operator("GroupQueryAttention", domain=MICROSOFT, shape=_group_query_attention_shape, treatment=MATRIX)
def group_query_attention(call: Call) -> tuple[Step, ...]:
    """Attention with fewer key and value heads and its cache inside.

    With a local window each query has so many keys at most, itself included, and those of all queries are
    read: one fewer of the cache than the window, as the first query is new (*ours*).
    """
    heads = max(1, call.integer("num_heads", 1))
    kv_heads = max(1, call.integer("kv_num_heads", heads))
    batch, queries, width = call.shape(0, least_rank=3)[:3]
    size = width // heads if call.has(1) else width // (heads + 2 * kv_heads)
    past = call.shape(3, least_rank=4)[2] if call.has(3) else 0
    present = call.output_shape(1, least_rank=4)[2] if call.output_name(1) else 0
    keys = _stated_keys(call)
    if keys is None:
        keys = present if present > past else max(past, queries)
    stored = call.shape(3)[3] if call.has(3) else size
    rows = batch * kv_heads * queries * stored
    window, part = max(0, call.integer(WINDOW, 0)), None
    if window:
        keys = min(keys, window)
        part = dict.fromkeys(call.input_names(3, 4), batch * kv_heads * min(past, window - 1) * stored)
    scores, context = attention_steps(
        call,
        Heads(batch, heads, queries, keys, size, size),
        query_key=call.input_names(0, 1, 3, 5, 6, 7, 8, 9, 10),
        values=call.input_names(2, 4) if call.has(2) else call.input_names(0, 4),
        caches=(call.output_name(1), call.output_name(2)),
        appended=(rows, rows),
    )
    if call.integer("do_rotary", 0):
        rotated = batch * queries * (heads + kv_heads) * size
        rotary = call.vector(VectorCategory.TRANSCENDENTAL, rotated, operator="RotaryEmbedding")
        tables = call.weights(7, 8, role="vector")
        scores = replace(scores, vector=(rotary, *scores.vector), weights=tables)
    return replace(scores, partial=part, window=window), replace(context, partial=part, window=window)


def _position_bias_shape(call: Call) -> tuple[Info]:
    length, other = call.integers(1)[0], call.integers(2)[0]
    return (Info(call.dtype(0), (1, call.shape(0)[1], length, other)),)


@operator(
    "RelativePositionBias",
    domain=MICROSOFT,
    shape=_position_bias_shape,
    category=VectorCategory.TRANSCENDENTAL,
    roots_from=(0,),
)
def relative_position_bias(call: Call) -> Step:
    """A logarithm per pair of positions tells which entry of a small table is taken."""
    work = call.vector(VectorCategory.TRANSCENDENTAL, call.output_elements())
    return Step(LayerKind.VECTOR, vector=(work,), weights=call.weights(0))
