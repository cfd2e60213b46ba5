"""Which keys sparse attention reads, hashes of tokens, and states that are replayed: of com.microsoft."""

from __future__ import annotations

import math

from layerweaver.frontend.node.registry import MATRIX, MICROSOFT, RECURRENT, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.movement import MOVE, move_step
from layerweaver.frontend.operators.normalization import NORMALIZATION
from layerweaver.frontend.operators.reduction import REDUCTION
from layerweaver.ir import BatchAxis, DType, LayerKind, MatrixWork


def _positive(call: Call, name: str, default: int = 0) -> int:
    value = call.integer(name, default)
    if value < 1:
        raise ShapeConflictError(f"{name} is {value}", accepted="a positive number")
    return value


def _compresses(call: Call) -> bool:
    """Whether blocks of keys are compressed into entries of their own; otherwise tokens are chosen."""
    return call.text("policy_mode", "qsa") == "csa"


def _chosen(call: Call) -> int:
    """Entries that one query may choose, those that stay unused included."""
    if call.op.startswith("Packed") and call.integer("max_output_entries", 0) > 0:
        return call.integer("max_output_entries", 0)
    if _compresses(call):
        return _positive(call, "index_topk")
    return _positive(call, "token_budget") + _positive(call, "compress_ratio") - 1


def _heads(call: Call) -> tuple[int, int]:
    """Query heads and their width; without keys of their own, queries hold one more head for these."""
    width, size = call.shape(0, least_rank=2)[-1], max(1, call.shape(2, least_rank=1)[0])
    heads = width // size - (0 if call.has(1) else 1)
    if heads < 1 or width % size:
        raise ShapeConflictError(f"queries of {text(call.shape(0))} do not fit heads of {size}")
    return heads, size


def _compressed(call: Call) -> tuple[int, int]:
    """Entries that a call adds, and the tokens that it leaves for the next one."""
    ratio, tokens = _positive(call, "compress_ratio"), call.shape(0, least_rank=3)[1]
    held = call.shape(13, least_rank=3)[2] if call.has(13) else 0
    complete = held >= ratio
    added, rest = divmod(held - ratio * complete + tokens, ratio)
    return added, rest + ratio * (complete or added > 0)


def _keys(call: Call) -> tuple[int, int]:
    """Rows of the key state that are filled after the call, and those that it has room for."""
    past = call.shape(7, least_rank=3)[1]
    added = _compressed(call)[0] if _compresses(call) else call.shape(0, least_rank=3)[1]
    if not call.has(12):
        return past + added, past + added
    known = call.value(12)
    return (past if known is None or known.size != 1 else min(past, int(known.ravel()[0]) + added)), past


def _scored(call: Call, batch: int, queries: int, entries: int) -> Step:
    """Every query head is compared with every entry, and the best entries are kept."""
    heads, size = _heads(call)
    scores = batch * heads * queries * entries
    new = call.elements(1) or batch * queries * size
    pooled = (call.vector(TRANSCENDENTAL, new),) if _compresses(call) else (call.vector(REDUCTION, new),)
    return Step(
        LayerKind.MATRIX,
        matrix=MatrixWork(
            batch, heads * queries, entries, size, False, 1, axis_for(call.batched, BatchAxis.GROUPS)
        ),
        vector=(
            *pooled,
            call.vector(NORMALIZATION, batch * queries * heads * size + new),
            call.vector(ELEMENTWISE, scores),
            call.vector(REDUCTION, scores),
        ),
        weights=call.weights(2, 3, 4, 5, 9),
    )


def _indexer_shape(call: Call) -> tuple[Info, ...]:
    batch, tokens = call.shape(0, least_rank=3)[:2]
    size, (_, room) = _heads(call)[1], _keys(call)
    held = _compressed(call)[1] if _compresses(call) else 0
    return (
        Info(DType.INT32, (batch, tokens, _chosen(call))),
        Info(call.dtype(7), (batch, room, size)),
        Info(call.dtype(0), (2, batch, held, 2 * size)),
    )


@operator("SparseAttentionIndexer", domain=MICROSOFT, shape=_indexer_shape, treatment=MATRIX)
def indexer(call: Call) -> Step:
    """Scores of every query head and complete block (or compressed entry) of keys; the best are chosen."""
    batch, tokens = call.shape(0, least_rank=3)[:2]
    filled = _keys(call)[0]
    entries = filled if _compresses(call) else filled // _positive(call, "compress_ratio")
    return _scored(call, batch, tokens, entries)


def _packed_shape(call: Call) -> tuple[Info, ...]:
    tokens, state = call.shape(0, least_rank=2)[0], call.shape(12, least_rank=3)
    _heads(call)
    gates = call.info(14) if call.has(14) else Info(call.dtype(13), call.shape(13))
    update = (state[0], call.integer("state_update_capacity", 0), state[2])
    return (
        Info(DType.INT32, (tokens, _chosen(call))),
        Info(DType.INT32, (tokens,)),
        Info(call.dtype(12), state),
        Info(call.dtype(13), call.shape(13)),
        Info(gates.dtype, gates.shape),
        Info(call.dtype(15), call.shape(15)),
        Info(call.dtype(0), update),
        Info(DType.INT32, (tokens,)),
        Info(DType.INT32, state[:1]),
    )


@operator("PackedSparseAttentionIndexer", domain=MICROSOFT, shape=_packed_shape, treatment=MATRIX)
def packed_indexer(call: Call) -> Step:
    """The same over packed tokens; as many entries are scored as the state has room for."""
    return _scored(call, 1, call.shape(0, least_rank=2)[0], call.shape(12, least_rank=3)[1])


def _merged_shape(call: Call) -> tuple[Info, ...]:
    queries = call.shape(2, least_rank=1)[0]
    counts = [Info(DType.INT32, (queries,)) for _ in range(2)]
    return Info(DType.INT32, (queries, _positive(call, "max_output_entries"))), *counts


@operator("PackedSparseAttentionIndexerMerge", domain=MICROSOFT, shape=_merged_shape, category=ELEMENTWISE)
def merged(call: Call) -> Step:
    """One pass over the merged selections."""
    return vector_step(call, ELEMENTWISE, call.output_elements(), parameters=())


def _hashed_shape(call: Call) -> tuple[Info, ...]:
    tokens, dtype, orders = call.shape(0, least_rank=1), call.dtype(0), call.integer("max_ngram_size", 3) - 1
    hashes = (*tokens, orders * call.integer("n_head_per_ngram", 1))
    packed = call.op.startswith("Varlen")
    batch = call.shape(3, least_rank=1)[0] - 1 if packed else tokens[0]
    history = [Info(dtype, (batch, orders)) for _ in range(2 if packed else 1)]
    update = Info(dtype, (batch, call.integer("state_update_capacity", 0), orders))
    return Info(dtype, hashes), *history, *((update,) if packed else ())


@operator(
    "NGramHashMapping", "VarlenNGramHashMapping", domain=MICROSOFT, shape=_hashed_shape, category=ELEMENTWISE
)
def hashed(call: Call) -> Step:
    """One product and one exclusive-or per token of every n-gram and head."""
    window = max(1, call.integer("max_ngram_size", 3))
    return vector_step(call, ELEMENTWISE, call.output_elements(), window=window)


def _destination_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(2), call.shape(2)),)


@operator("ConvStateReplay", domain=MICROSOFT, shape=_destination_shape, category=MOVE)
def replayed_history(call: Call) -> Step:
    """The rows of one history are copied: as many as its description says, or all there is room for."""
    known = call.value(3)
    fields = [] if known is None or known.size != 8 else [max(0, int(item)) for item in known.ravel()]
    return move_step(call, math.prod(fields[3:6]) if fields else call.output_elements(), ())


@operator("GatedDeltaNetStateReplay", domain=MICROSOFT, shape=_destination_shape, treatment=RECURRENT)
def replayed_state(call: Call) -> Step:
    """Kept tokens are added to a state anew: a decay and an outer product per head and token."""
    fields = call.integers(3)
    if len(fields) != 11 or min(fields[5:]) < 1:
        raise ShapeConflictError(f"metadata {fields}", accepted="eleven numbers, extents and counts positive")
    heads, value_size, size, kept = fields[5], fields[6], fields[7], fields[10]
    work = MatrixWork(heads, 1, value_size, size, False, kept, axis_for(False))
    decay = call.vector(ELEMENTWISE, kept * heads * value_size * size)
    return Step(LayerKind.RECURRENT, matrix=work, vector=(decay,))


def _committed_shape(call: Call) -> tuple[Info, ...]:
    control, context = call.shape(3), call.shape(4)
    requests = math.prod(control) // 16
    return (
        Info(DType.INT32, (requests,)),
        Info(call.dtype(3), control),
        Info(call.dtype(4), context),
    )


@operator("SpeculativePrefixCommit", domain=MICROSOFT, shape=_committed_shape, category=ELEMENTWISE)
def committed(call: Call) -> Step:
    """Drafted tokens are compared with those that were verified; the control words are written anew."""
    return vector_step(call, ELEMENTWISE, call.elements(0) + call.output_elements(1), parameters=())
