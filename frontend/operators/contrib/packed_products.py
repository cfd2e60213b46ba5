"""Products by packed weights of the domain com.microsoft, alone and several in one operator."""

from __future__ import annotations

from layerweaver.frontend.node.registry import MATRIX, MICROSOFT, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import TRANSCENDENTAL
from layerweaver.frontend.operators.products import dense, inner_step, packed_weight, product_step
from layerweaver.ir import LayerKind, VectorCategory, VectorWork


def _depth(call: Call) -> int:
    """Extent that is summed over: the attribute K, which must be the last of the input."""
    shape = call.shape(0, least_rank=1)
    depth = call.integer("K", shape[-1])
    if depth != shape[-1] or depth < 1:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {depth} rows")
    return depth


def _columns(call: Call, *names: str) -> list[int]:
    columns = [call.integer(name, 0) for name in names]
    if min(columns) < 1:
        raise ShapeConflictError(f"{' and '.join(names)} are {columns}", accepted="positive numbers")
    return columns


def _normalised(call: Call) -> tuple[VectorWork, ...]:
    """The normalisation of the input, and the sum with a skipped one before it, where they are asked for."""
    elements = call.elements(0)
    added = (call.vector(VectorCategory.ELEMENTWISE, elements),) if call.has(1) else ()
    return (*added, call.vector(VectorCategory.NORMALIZATION, elements)) if call.has(2) else added


def _mlp_shape(call: Call) -> tuple[Info, ...]:
    _depth(call)
    shape = call.shape(0)
    return Info(call.dtype(0), (*shape[:-1], *_columns(call, "N"))), Info(call.dtype(0), shape)


@operator("MatMulNBitsMlp", domain=MICROSOFT, shape=_mlp_shape, treatment=MATRIX)
def gated_products(call: Call) -> Step:
    """Gate and value of one input by weights of a few bits, their activation, a normalisation before."""
    bits, (columns,) = call.integer("bits", 4), _columns(call, "N")
    parameters = packed_weight(call, 3, bits) + packed_weight(call, 6, bits) + call.weights(2, 4, 5, 7, 8)
    gate = call.vector(TRANSCENDENTAL, call.output_elements())
    return product_step(dense(call, 2 * columns, weight=3), parameters, (*_normalised(call), gate))


def _qkv_shape(call: Call) -> tuple[Info, ...]:
    _depth(call)
    shape, dtype = call.shape(0), call.dtype(0)
    queries, keys = _columns(call, "Nq", "Nkv")
    widths = (queries, keys, keys)
    return (*(Info(dtype, (*shape[:-1], width)) for width in widths), Info(dtype, shape))


@operator("MatMulNBitsQkv", domain=MICROSOFT, shape=_qkv_shape, treatment=MATRIX)
def projections(call: Call) -> Step:
    """Queries, keys and values of one normalised input by weights of a few bits."""
    bits, (queries, keys) = call.integer("bits", 4), _columns(call, "Nq", "Nkv")
    parameters = call.weights(2)
    for index in (3, 6, 9):
        parameters += packed_weight(call, index, bits) + call.weights(index + 1, index + 2)
    return product_step(dense(call, queries + 2 * keys, weight=3), parameters, _normalised(call))


def _n_columns_shape(call: Call) -> tuple[Info]:
    _depth(call)
    return (Info(call.dtype(0), (*call.shape(0)[:-1], *_columns(call, "N"))),)


@operator("MatMulNBitsQLoRA", domain=MICROSOFT, shape=_n_columns_shape, treatment=MATRIX)
def adapted_product(call: Call) -> tuple[Step, ...]:
    """A product by weights of a few bits and, through a narrow middle, that of an adapter."""
    (columns,), tokens = _columns(call, "N"), call.input_names(0)
    rank, lora_bits = call.shape(3, least_rank=1)[0], call.integer("lora_bits", 4)
    parameters = packed_weight(call, 1, call.integer("bits", 4)) + call.weights(2)
    base = inner_step(call, "base", dense(call, columns), reads=tokens, parameters=parameters)
    parameters = packed_weight(call, 3, lora_bits) + call.weights(4)
    down = inner_step(call, "down", dense(call, rank, weight=3), reads=tokens, parameters=parameters)
    up = Step(
        LayerKind.MATRIX,
        reads=(*(base.writes or ()), *(down.writes or ())),
        matrix=dense(call, columns, rows=call.elements(0) // max(1, call.shape(0)[-1]), depth=rank, weight=5),
        weights=packed_weight(call, 5, lora_bits) + call.weights(6),
        suffix="up",
    )
    return base, down, up


@operator("MatMulPacked", domain=MICROSOFT, shape=_n_columns_shape, treatment=MATRIX)
def block_packed_product(call: Call) -> Step:
    """A product by weights in blocks of bytes; they are fetched as they are stored."""
    return product_step(dense(call, *_columns(call, "N")), call.weights(1))


def _rows_shape(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0, least_rank=1), call.shape(1, least_rank=2)
    return (Info(call.dtype(0), (*shape[:-1], weight[0])),)


@operator("MatMulBlockQuantizedFp4Weight", domain=MICROSOFT, shape=_rows_shape, treatment=MATRIX)
@operator("MatMulBlockQuantizedFp8Weight", domain=MICROSOFT, shape=_rows_shape, treatment=MATRIX)
def small_float_product(call: Call) -> Step:
    """A product by weights of 4-bit or 8-bit floats, one row per result, with scales per block."""
    columns = call.shape(1, least_rank=2)[0]
    four = call.op.endswith("Fp4Weight")
    weights = packed_weight(call, 1, 4) if four else call.weights(1)
    bias = call.weights(5) if four else call.weights(4)
    return product_step(dense(call, columns), weights + call.weights(2) + bias)


def _router_shape(call: Call) -> tuple[Info, Info]:
    shape, weight = call.shape(0, least_rank=1), call.shape(1, least_rank=2)
    router = call.integer("router_size", 0)
    if shape[-1] != weight[0] or not 0 <= router <= weight[1]:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    dtype = call.dtype(0)
    inner = (weight[1] - router) // 2
    return Info(dtype, (*shape[:-1], router)), Info(dtype, (*shape[:-1], inner))


@operator("RouterGateUpProj", domain=MICROSOFT, shape=_router_shape, treatment=MATRIX)
def router_product(call: Call) -> Step:
    """One product for the router's scores and for gate and value of a shared expert."""
    gate = call.vector(TRANSCENDENTAL, call.output_elements(1))
    return product_step(dense(call, call.shape(1, least_rank=2)[1]), call.weights(1), (gate,))


def _mix_shape(call: Call) -> tuple[Info, ...]:
    shape, branches = call.shape(0, least_rank=1), max(1, call.integer("num_branches", 1))
    dtype = call.dtype(0)
    width = shape[-1] // branches
    return Info(dtype, (*shape[:-1], width)), Info(dtype, (*shape[:-1], branches)), Info(dtype, shape)


@operator("HyperConnectionLowRankMix", domain=MICROSOFT, shape=_mix_shape, treatment=MATRIX)
def mixed_streams(call: Call) -> tuple[Step, ...]:
    """Gates of parallel streams through a narrow middle, and how much the block adds to each."""
    depth = call.shape(0, least_rank=1)[-1]
    rows = call.elements(0) // max(1, depth)
    rank, branches = call.shape(2, least_rank=2)[1], call.shape(4, least_rank=2)[1]
    middle = f"{call.key}:middle"
    return (
        Step(
            LayerKind.MATRIX,
            reads=call.input_names(0, 5, 6),
            writes=(middle,),
            matrix=dense(call, rank, weight=2),
            vector=(call.vector(VectorCategory.NORMALIZATION, rows * depth),),
            weights=call.weights(1, 2),
            suffix="down",
            internal={middle: rows * rank},
        ),
        Step(
            LayerKind.MATRIX,
            reads=(middle, *call.input_names(0)),
            writes=(call.node.outputs[0],),
            matrix=dense(call, depth, rows=rows, depth=rank, weight=3),
            vector=(call.vector(TRANSCENDENTAL, rows * depth),),
            weights=call.weights(3),
            suffix="up",
        ),
        Step(
            LayerKind.MATRIX,
            reads=call.input_names(0),
            writes=tuple(name for name in call.node.outputs[1:] if name),
            matrix=dense(call, branches, weight=4),
            weights=call.weights(4),
            suffix="inject",
        ),
    )
