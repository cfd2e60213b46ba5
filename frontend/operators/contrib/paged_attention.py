"""Attention over packed tokens, pages, chosen keys and windows: further operators of com.microsoft."""

from __future__ import annotations

from layerweaver.frontend.node.registry import MATRIX, MICROSOFT, RECURRENT, operator
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.attention import Heads, attention_steps, projected
from layerweaver.frontend.operators.products import dense
from layerweaver.ir import LayerKind, MatrixWork, VectorCategory


def _heads(call: Call, name: str = "num_heads", default: int = 1) -> int:
    return max(1, call.integer(name, default))


def _projection(
    call: Call, name: str, weights: tuple[int, ...], columns: int, rows: int | None = None
) -> Step:
    """A product of all ``rows`` tokens by the first of ``weights``."""
    work = dense(call, columns, rows=rows, weight=weights[0])
    return projected(call, name, work, parameters=call.weights(*weights))


def _packed_multi_shape(call: Call) -> tuple[Info]:
    query = call.shape(0, least_rank=2)
    if len(query) == 4:
        return (Info(call.dtype(0), (query[0], query[1] * query[3])),)
    return (Info(call.dtype(0), (query[0], call.shape(2)[1] if call.has(2) else query[1])),)


@operator("PackedMultiHeadAttention", domain=MICROSOFT, shape=_packed_multi_shape, treatment=MATRIX)
def packed_multi_head(call: Call) -> tuple[Step, ...]:
    """Tokens without padding; the attention is costed at the padded length."""
    heads, query = _heads(call), call.shape(0, least_rank=2)
    batch, length = call.shape(4, least_rank=2)[:2]
    size = query[3] if len(query) == 4 else query[1] // heads
    value_size = call.shape(2, least_rank=2)[1] // heads if call.has(2) else size
    return attention_steps(
        call,
        Heads(batch, heads, length, length, size, value_size),
        query_key=call.input_names(0, 1, 6),
        values=call.input_names(2) or call.input_names(0),
        extra=1 if call.has(6) else 0,
    )


def _token_widths(call: Call) -> tuple[int, int, int, int, int]:
    """Tokens, query heads, key heads, width of a head and of its values; queries may hold keys too."""
    query, heads = call.shape(0, least_rank=2), _heads(call)
    kv_heads = _heads(call, "kv_num_heads", heads)
    packed = not call.has(1)
    size = query[-1] // (heads + 2 * kv_heads) if packed else query[-1] // heads
    return query[-2], heads, kv_heads, size, call.integer("v_head_size", 0) or size


def _paged_shape(call: Call) -> tuple[Info, ...]:
    tokens, heads, _, _, value_size = _token_widths(call)
    caches = [Info(call.dtype(index), call.shape(index)) for index in (3, 4) if call.has(index)]
    return (Info(call.dtype(0), (tokens, heads * value_size)), *caches)


@operator("PagedAttention", "SparsePagedAttention", domain=MICROSOFT, shape=_paged_shape, treatment=MATRIX)
def paged(call: Call) -> tuple[Step, ...]:
    """Packed tokens attend to pages of a cache: as many keys as its table has room for, or those chosen."""
    tokens, heads, kv_heads, size, value_size = _token_widths(call)
    window = call.integer("local_window_size", -1)
    keys = call.shape(7, least_rank=2)[1] * call.shape(3, least_rank=2)[1]
    known = call.value(16) if call.op == "PagedAttention" else None
    keys = min(keys, int(known.ravel()[1])) if known is not None and known.size > 1 else keys
    keys = min(keys, window) if window > 0 else keys
    if call.op == "SparsePagedAttention":
        chosen = call.shape(9, least_rank=2)[1]
        keys = chosen + keys if call.text("attention_mode", "selected_only") != "selected_only" else chosen
    return attention_steps(
        call,
        Heads(1, heads, tokens, keys, size, value_size),
        query_key=call.input_names(0, 1, 3, 5, 6, 7),
        values=call.input_names(2, 4) or call.input_names(0, 3),
        caches=(call.output_name(1), call.output_name(2)),
        appended=(tokens * kv_heads * size, tokens * kv_heads * value_size),
    )


def _sparse_shape(call: Call) -> tuple[Info, ...]:
    query, heads = call.shape(0, least_rank=3), _heads(call)
    _, _, _, size, _ = _token_widths(call)
    caches = [Info(call.dtype(index), call.shape(index)) for index in (3, 4) if call.has(index)]
    return (Info(call.dtype(0), (*query[:2], heads * size)), *caches)


@operator(
    "SparseAttention", "DynamicSparseAttention", domain=MICROSOFT, shape=_sparse_shape, treatment=MATRIX
)
def sparse(call: Call) -> tuple[Step, ...]:
    """Attention to the blocks of a fixed layout, evenly spread over the queries, or to chosen keys."""
    queries, heads, kv_heads, size, _ = _token_widths(call)
    batch = call.shape(0, least_rank=3)[0]
    if call.op == "DynamicSparseAttention":
        keys = call.shape(7, least_rank=2)[1]
        window = call.integer("local_window_size", -1)
        if call.text("attention_mode", "selected_only") != "selected_only" and window > 0:
            keys += window
    else:
        rows, blocks = call.shape(5, least_rank=2)[1] - 1, call.shape(6, least_rank=2)[1]
        keys = -(-blocks * max(1, call.integer("sparse_block_size", 64)) // max(1, rows))
        total = call.value(7)
        longest = call.shape(3, least_rank=4)[2]
        keys = min(keys, longest if total is None or total.size != 1 else int(total.ravel()[0]))
    rows_written = batch * kv_heads * queries * size
    return attention_steps(
        call,
        Heads(batch, heads, queries, keys, size, size),
        query_key=call.input_names(0, 1, 3),
        values=call.input_names(2, 4) or call.input_names(0, 4),
        caches=(call.output_name(1), call.output_name(2)),
        appended=(rows_written, rows_written),
    )


def _same_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), call.shape(0, least_rank=3)),)


@operator("LongformerAttention", domain=MICROSOFT, shape=_same_shape, treatment=MATRIX)
@operator("QOrderedLongformerAttention", domain=MICROSOFT, shape=_same_shape, treatment=MATRIX)
def longformer(call: Call) -> tuple[Step, ...]:
    """Two projections, local and global, then attention to a window on both sides; global tokens as none."""
    batch, tokens, width = call.shape(0, least_rank=3)[:3]
    heads, window = _heads(call), max(0, call.integer("window", 0))
    quantised = call.op.startswith("QOrdered")
    local, broad = ((2, 4, 3), (8, 10, 9)) if quantised else ((1, 2), (4, 5))
    columns = call.shape(local[0], least_rank=2)[1]
    first, second = (
        _projection(call, name, weights, columns) for name, weights in (("qkv", local), ("global-qkv", broad))
    )
    inside = [name for step in (first, second) for name in step.writes or ()]
    extent = Heads(batch, heads, tokens, min(tokens, 2 * window + 1), width // heads, width // heads)
    return (first, second, *attention_steps(call, extent, query_key=(*inside,), values=(*inside,), extra=1))


def _ordered_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0, least_rank=3)
    return (Info(call.dtype(0), (*shape[:-1], call.shape(7, least_rank=2)[1])),)


@operator("QOrderedAttention", domain=MICROSOFT, shape=_ordered_shape, treatment=MATRIX)
def ordered(call: Call) -> tuple[Step, ...]:
    """Three projections by 8-bit weights, then the attention."""
    batch, tokens = call.shape(0, least_rank=3)[:2]
    heads, width, value_width = _heads(call), call.shape(5)[1], call.shape(7)[1]
    steps = [
        _projection(call, "q", (5, 11, 8), width),
        _projection(call, "k", (6, 12, 9), width),
        _projection(call, "v", (7, 13, 10), value_width),
    ]
    inside = [name for step in steps for name in step.writes or ()]
    extent = Heads(batch, heads, tokens, tokens, width // heads, value_width // heads)
    return (*steps, *attention_steps(call, extent, query_key=(*inside[:2],), values=(inside[2],)))


def _flag(call: Call, index: int) -> bool:
    value = call.value(index)
    return value is not None and bool(value.any())


def _decoder_lengths(call: Call) -> tuple[int, int]:
    """Keys that are projected, and keys that are attended to."""
    queries, keys = call.shape(0, least_rank=3)[0], call.shape(1, least_rank=3)[0]
    crossed, cached = _flag(call, 8), _flag(call, 9)
    held = call.shape(6, least_rank=4)[2] if cached and call.has(6) else 0
    if crossed:
        return (0, held) if held else (keys, keys)
    return queries, queries + held


def _decoder_shape(call: Call) -> tuple[Info, ...]:
    length, batch, width = call.shape(0, least_rank=3)[:3]
    heads, total = _heads(call), _decoder_lengths(call)[1]
    cache = Info(call.dtype(0), (batch, heads, total, width // heads))
    return Info(call.dtype(0), (length, batch, width)), cache, Info(cache.dtype, cache.shape)


@operator("DecoderAttention", domain=MICROSOFT, shape=_decoder_shape, treatment=MATRIX)
def decoder(call: Call) -> tuple[Step, ...]:
    """Projections of queries and of those keys that no cache holds, then the attention."""
    length, batch, width = call.shape(0, least_rank=3)[:3]
    heads, (fresh, total) = _heads(call), _decoder_lengths(call)
    steps = [_projection(call, "q", (2, 4), width)]
    if fresh:
        steps.append(_projection(call, "kv", (3,), call.shape(3, least_rank=2)[1], fresh * batch))
    inside = [name for step in steps for name in step.writes or ()]
    size = width // heads
    attention = attention_steps(
        call,
        Heads(batch, heads, length, total, size, size),
        query_key=(*inside, *call.input_names(6)),
        values=(inside[-1], *call.input_names(7)),
        caches=(call.output_name(1), call.output_name(2)),
        appended=(batch * fresh * width, batch * fresh * width),
    )
    return (*steps, *attention)


def _gated_bias_shape(call: Call) -> tuple[Info]:
    bias = call.shape(2, least_rank=4)
    padded = call.shape(6, least_rank=2) if call.has(6) else call.shape(0, least_rank=3)[:2]
    return (Info(call.dtype(0), (padded[0], _heads(call), bias[2], bias[3])),)


@operator("GatedRelativePositionBias", domain=MICROSOFT, shape=_gated_bias_shape, treatment=MATRIX)
def gated_bias(call: Call) -> Step:
    """A small product per token and head, whose gates scale the relative positions."""
    size, columns = call.shape(3, least_rank=2)[:2]
    work = dense(call, columns, depth=size, weight=3)
    gates = call.vector(VectorCategory.TRANSCENDENTAL, work.m * columns)
    scaled = call.vector(VectorCategory.ELEMENTWISE, call.output_elements())
    return Step(LayerKind.MATRIX, matrix=work, vector=(gates, scaled), weights=call.weights(1, 2, 3, 4, 5))


def _delta_net(call: Call) -> tuple[int, int, int, int, int]:
    """Tokens, output heads, heads of the state, widths of keys and of values."""
    query = call.shape(0, least_rank=2)
    if call.has(1) and call.has(2):
        value = call.shape(2, least_rank=3)
        return query[0], max(query[1], value[1]), value[1], query[2], value[2]
    _, heads, value_size, size = call.shape(6, least_rank=4)[:4]
    return query[0], heads, heads, size, value_size


def _delta_net_shape(call: Call) -> tuple[Info, ...]:
    tokens, heads, kv_heads, size, value_size = _delta_net(call)
    batch = call.shape(6)[0] if call.has(6) else call.shape(3)[0] - 1 if call.has(3) else 1
    state = call.dtype(6) if call.has(6) else call.dtype(0)
    return Info(call.dtype(0), (tokens, heads, value_size)), Info(state, (batch, kv_heads, value_size, size))


@operator("GatedDeltaNet", domain=MICROSOFT, shape=_delta_net_shape, treatment=RECURRENT)
def delta_net(call: Call) -> Step:
    """A matrix-valued state per head over packed tokens: read, updated and queried at every one."""
    tokens, heads, kv_heads, size, value_size = _delta_net(call)
    updates = 2 if call.text("update_rule", "gated_delta").endswith("delta") else 1
    work = MatrixWork(heads + updates * kv_heads, 1, value_size, size, False, tokens, axis_for(False))
    decay = call.vector(VectorCategory.TRANSCENDENTAL, tokens * kv_heads * size)
    return Step(LayerKind.RECURRENT, matrix=work, vector=(decay,))
