"""Operators of com.microsoft that move, normalise, gate or look up; a few of them with a small product."""

from __future__ import annotations

import math
from dataclasses import replace

from layerweaver.frontend.node.registry import GATHER, MATRIX, MICROSOFT, RECURRENT, like_first, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, broadcast, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import GatherRead, Lowered, Step
from layerweaver.frontend.operators.activation import swiglu_shape
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, elementwise, vector_step
from layerweaver.frontend.operators.movement import MOVE, move_step
from layerweaver.frontend.operators.normalization import NORMALIZATION, like_first_twice
from layerweaver.frontend.operators.products import dense, product_step
from layerweaver.frontend.operators.reduction import REDUCTION, reduced, reduction
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import BatchAxis, DType, LayerKind, MatrixWork


@operator("MRotaryEmbedding", "ScaledSiLU", domain=MICROSOFT, shape=like_first, category=TRANSCENDENTAL)
@operator("SwiGLU", domain=MICROSOFT, shape=swiglu_shape, category=TRANSCENDENTAL)
@operator("LinearAttentionGate", domain=MICROSOFT, shape=like_first_twice, category=TRANSCENDENTAL)
def special(call: Call) -> Step:
    """One pass of a special function over the results; tables and biases are parameters."""
    elements = sum(call.output_elements(index) for index in range(len(call.outputs)))
    return vector_step(call, TRANSCENDENTAL, elements)


@operator("GatedRMSNorm", "BranchwiseRMSNorm", domain=MICROSOFT, shape=like_first, category=NORMALIZATION)
@operator("EngramGate", domain=MICROSOFT, shape=like_first_twice, category=NORMALIZATION)
def normalised(call: Call) -> Step:
    """Statistics over the input, then scales, which are parameters, and a gate."""
    work = call.vector(NORMALIZATION, call.elements(0))
    gate = call.vector(TRANSCENDENTAL, call.output_elements())
    weights = call.weights(*range(1, len(call.inputs)))
    gated = call.op != "BranchwiseRMSNorm"
    return Step(LayerKind.VECTOR, vector=(work, gate) if gated else (work,), weights=weights)


def _rotary_norm_shape(call: Call) -> tuple[Info, ...]:
    batch, tokens, heads, stride = call.shape(0, least_rank=4)[:4]
    width = call.integer("input_width", 0) or stride
    flat = (batch, tokens, heads * width)
    return Info(call.dtype(0), flat), Info(DType.FLOAT32, (batch, tokens, heads, width))


@operator("RMSNormRotary", domain=MICROSOFT, shape=_rotary_norm_shape, category=NORMALIZATION)
def rotary_norm(call: Call) -> Step:
    """Normalisation of every head, then its rotation by tabulated angles."""
    elements = call.output_elements()
    work = (call.vector(NORMALIZATION, elements), call.vector(TRANSCENDENTAL, elements))
    return Step(LayerKind.VECTOR, vector=work, weights=call.weights(1, 3, 4))


@operator("GatedAdd", domain=MICROSOFT, shape=like_first, treatment=MATRIX)
def gated_add(call: Call) -> Step:
    """A sum with a gate per row, which is a product with one column where its weight is given."""
    added = call.vector(ELEMENTWISE, call.output_elements(), window=2)
    if not call.has(3):
        return Step(LayerKind.VECTOR, vector=(added,))
    depth = call.shape(3, least_rank=1)[0]
    work = dense(call, 1, rows=call.elements(2) // max(1, depth), depth=depth, weight=3)
    return product_step(work, call.weights(3), (added,))


def _streams(call: Call) -> tuple[tuple[int, ...], int, int]:
    """Leading axes, number of streams and their width."""
    shape, branches = call.shape(0, least_rank=2), call.integer("num_branches", 0)
    if branches > 0:
        return shape[:-1], branches, shape[-1] // branches
    return shape[:-2], shape[-2], shape[-1]


def _joined_streams_shape(call: Call) -> tuple[Info]:
    rows, _, width = _streams(call)
    return (Info(call.dtype(0), (*rows, width)),)


@operator("HyperConnectionPreMix", domain=MICROSOFT, shape=_joined_streams_shape, category=ELEMENTWISE)
def joined_streams(call: Call) -> Step:
    """Every element of every stream is gated and added."""
    return vector_step(call, ELEMENTWISE, call.elements(0))


@operator("HyperConnectionPostMix", domain=MICROSOFT, shape=like_first, treatment=MATRIX)
def spread_streams(call: Call) -> Step:
    """A block's output is added to every stream; where a matrix mixes the streams, that is a product."""
    rows, branches, width = _streams(call)
    added = call.vector(ELEMENTWISE, call.elements(0), window=2)
    if not call.has(3):
        return Step(LayerKind.VECTOR, vector=(added,), weights=call.weights(2, role="vector"))
    axis = axis_for(call.batched, BatchAxis.GROUPS)
    work = MatrixWork(math.prod(rows), branches, width, branches, call.constant(3), 1, axis)
    return product_step(work, call.weights(2, 3), (added,))


def _router_shape(call: Call) -> tuple[Info, ...]:
    shape = call.shape(0, least_rank=1)
    experts = call.shape(1, least_rank=1)[0]
    rows = math.prod(shape[:-1])
    return Info(call.dtype(0), (rows, experts)), *(Info(DType.FLOAT32, (rows, experts)) for _ in range(2))


@operator("MoEGroupRouter", domain=MICROSOFT, shape=_router_shape, treatment=MATRIX)
def group_router(call: Call) -> Step:
    """Scores of the experts, by a product where its weights are given, and the choice of groups."""
    width, experts = call.shape(0, least_rank=1)[-1], call.shape(1, least_rank=1)[0]
    rows = call.elements(0) // max(1, width)
    chosen = (call.vector(TRANSCENDENTAL, rows * experts), call.vector(REDUCTION, rows * experts))
    if not call.has(2):
        return Step(LayerKind.VECTOR, vector=chosen, weights=call.weights(1))
    return product_step(dense(call, experts, weight=2), call.weights(1, 2), chosen)


def _integer_product_shape(call: Call) -> tuple[Info]:
    right = 2 if call.has(2) else 1
    return (Info(DType.INT32, broadcast((call.shape(0), call.shape(right)))),)


operator("MulInteger", domain=MICROSOFT, shape=_integer_product_shape, category=ELEMENTWISE)(elementwise)


def _all_finite_shape(_call: Call) -> tuple[Info]:
    return (Info(DType.BOOL, ()),)


@operator("IsAllFinite", domain=MICROSOFT, shape=_all_finite_shape, category=REDUCTION)
def all_finite(call: Call) -> Step:
    """Every element is read once."""
    elements = sum(call.elements(index) for index in range(len(call.inputs)))
    return vector_step(call, REDUCTION, elements, parameters=())


def _integer_sum_shape(call: Call) -> tuple[Info]:
    return (Info(DType.INT32, reduced(call, call.integer_list("axes"))[0]),)


operator("ReduceSumInteger", domain=MICROSOFT, shape=_integer_sum_shape, category=REDUCTION)(reduction)


def _looked_up_shape(call: Call) -> tuple[Info]:
    table, indices = call.shape(0, least_rank=2), call.shape(1)
    if call.op == "TorchEmbedding":
        return (Info(call.dtype(0), (*indices, table[1])),)
    width = call.integer("K", 0)
    if width < 1:
        raise ShapeConflictError(f"K is {width} for a table of {text(table)}", accepted="a positive number")
    return (Info(ONNX_TYPES.get(call.integer("output_dtype", 1), DType.FLOAT32), (*indices, width)),)


@operator("TorchEmbedding", "GatherPacked", domain=MICROSOFT, shape=_looked_up_shape, treatment=GATHER)
def looked_up(call: Call) -> Lowered:
    """Rows of a table are fetched from DRAM, as they are stored."""
    if not call.constant(0):
        return move_step(call, call.output_elements(), ())
    rows = call.elements(1) * call.shape(0, least_rank=2)[1]
    read = GatherRead(call.info(0).name, rows, call.batched)
    return Step(LayerKind.GATHER, vector=(call.vector(MOVE, call.output_elements()),), gathers=(read,))


def _word_convolution_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(1), (*call.shape(0, least_rank=1)[:-1], call.shape(1, least_rank=3)[0])),)


@operator("WordConvEmbedding", domain=MICROSOFT, shape=_word_convolution_shape, treatment=MATRIX)
def word_convolution(call: Call) -> Step:
    """Characters of every word are looked up, convolved and the best of every filter kept."""
    sequence, weight = call.shape(0, least_rank=1), call.shape(1, least_rank=3)
    window, width = weight[-2], weight[-1]
    words, places = math.prod(sequence[:-1]), max(1, sequence[-1] - window + 1)
    work = dense(call, weight[0], rows=words * places, depth=window * width)
    best = call.vector(REDUCTION, words * places * weight[0])
    step = product_step(work, call.weights(1, 2), (best,))
    if not call.constant(3):
        return step
    return replace(step, gathers=(GatherRead(call.info(3).name, math.prod(sequence) * width, call.batched),))


def _mamba_shape(call: Call) -> tuple[Info, ...]:
    rows, inner = call.shape(0, least_rank=2)[0], call.integer("heads", 1) * call.integer("head_dim", 64)
    dtype, channels = call.dtype(0), call.shape(3, least_rank=2)[0]
    return (
        Info(dtype, (rows, inner)),
        Info(call.dtype(1), call.shape(1)),
        Info(call.dtype(2), call.shape(2)),
        Info(dtype, (rows, channels)),
        Info(DType.FLOAT32, (rows, inner)),
    )


@operator("Mamba2Verify", domain=MICROSOFT, shape=_mamba_shape, treatment=RECURRENT)
def mamba(call: Call) -> tuple[Step, ...]:
    """A short depthwise convolution, then a matrix-valued state per head: updated and read at every row."""
    rows, channels = call.shape(0, least_rank=2)[0], call.shape(3, least_rank=2)[0]
    heads, size = max(1, call.integer("heads", 1)), call.integer("head_dim", 64)
    state = call.integer("d_state", 128)
    inside = f"{call.key}:convolved"
    kernel = call.shape(3)[-1]
    return (
        Step(
            LayerKind.MATRIX,
            reads=call.input_names(0, 1),
            writes=(inside,),
            matrix=MatrixWork(channels, rows, 1, kernel, call.constant(3), 1, axis_for(call.batched)),
            weights=call.weights(3, 4),
            suffix="convolution",
            internal={inside: rows * channels},
        ),
        Step(
            LayerKind.RECURRENT,
            reads=(inside, *call.input_names(0, 2)),
            matrix=MatrixWork(2 * heads, 1, size, state, False, rows, axis_for(call.batched, BatchAxis.NONE)),
            vector=(call.vector(NORMALIZATION, call.output_elements()),),
            weights=call.weights(5, 6, 7, 8),
            suffix="state",
        ),
    )
