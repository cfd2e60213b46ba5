"""Quantised operators of the domain com.microsoft, those by stored orders and packed floats included."""

from __future__ import annotations

from layerweaver.frontend.node.registry import GATHER, MATRIX, MICROSOFT, like_first, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, broadcast, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import GatherRead, Step
from layerweaver.frontend.operators.activation import SOFTMAX, softmax
from layerweaver.frontend.operators.elementwise import (
    ELEMENTWISE,
    TRANSCENDENTAL,
    transcendental,
    vector_step,
)
from layerweaver.frontend.operators.movement import MOVE, joined, move_step
from layerweaver.frontend.operators.normalization import NORMALIZATION
from layerweaver.frontend.operators.pooling import POOLING, channels_last_shape, global_pool, pool, pooled
from layerweaver.frontend.operators.products import (
    PACKED_TYPES,
    dense,
    gemm_product,
    gemm_shape,
    matmul_shape,
    matrix_product,
    packed_weight,
    product,
    product_step,
)
from layerweaver.frontend.operators.reduction import REDUCTION, reduced
from layerweaver.ir import DType, LayerKind


def _block_quantized_shape(call: Call) -> tuple[Info]:
    shape, indices = call.shape(0), call.shape(1)
    axis = call.axis(call.integer("gather_axis", 0), len(shape))
    packed = 8 // max(call.integer("bits", 4), 1) if call.dtype(0) is DType.UINT8 else 1
    shape = (*shape[:-1], shape[-1] * packed)
    return (Info(call.dtype(2), (*shape[:axis], *indices, *shape[axis + 1 :])),)


@operator(
    "GatherBlockQuantized",
    domain=MICROSOFT,
    shape=_block_quantized_shape,
    treatment=GATHER,
    category=MOVE,
    roots_from=(0, 2, 3),
)
def gather_block_quantized(call: Call) -> Step:
    """Rows of a table of small integers, packed in bytes or not, with a scale per block."""
    rows = call.output_elements()
    if not call.constant(0):
        return move_step(call, rows, ())
    table = call.info(0)
    bits = call.integer("bits", 4)
    packed = table.dtype is DType.UINT8 and bits < 8
    dtype = PACKED_TYPES.get(bits, DType.UINT8) if packed else None
    elements = call.elements(0) * 8 // bits if packed and bits > 0 else None
    block = max(1, call.integer("block_size", 128))
    gathers = [GatherRead(table.name, rows, call.batched, elements, dtype)]
    for index in (2, 3):
        if call.constant(index):
            gathers.append(GatherRead(call.info(index).name, rows // block, call.batched))
    return Step(LayerKind.GATHER, vector=(call.vector(MOVE, rows),), gathers=tuple(gathers))


def _q_linear_binary_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), broadcast((call.shape(0), call.shape(3)))),)


def _q_linear_where_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(1), broadcast((call.shape(0), call.shape(1), call.shape(4)))),)


def _q_linear_reduce_mean_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), reduced(call, call.integer_list("axes"))[0]),)


@operator("QLinearAdd", "QLinearMul", domain=MICROSOFT, shape=_q_linear_binary_shape, category=ELEMENTWISE)
@operator("QLinearLeakyRelu", domain=MICROSOFT, shape=like_first, category=ELEMENTWISE)
@operator("QLinearWhere", domain=MICROSOFT, shape=_q_linear_where_shape, category=ELEMENTWISE)
@operator("QLinearReduceMean", domain=MICROSOFT, shape=_q_linear_reduce_mean_shape, category=ELEMENTWISE)
def elementwise(call: Call) -> Step:
    """One pass over the larger of input and result, requantising included."""
    return vector_step(call, ELEMENTWISE, max(call.output_elements(), call.elements(0)))


operator("QLinearSigmoid", "QOrderedGelu", domain=MICROSOFT, shape=like_first, category=TRANSCENDENTAL)(
    transcendental
)

operator("QLinearSoftmax", domain=MICROSOFT, shape=like_first, category=SOFTMAX)(softmax)


def _q_linear_concat_shape(call: Call) -> tuple[Info]:
    shapes = [call.shape(index) for index in range(2, len(call.inputs), 3)]
    shape = joined(call, shapes, call.integer("axis", 0))
    return (Info(call.dtype(2), shape),)


@operator("QLinearConcat", domain=MICROSOFT, shape=_q_linear_concat_shape, category=MOVE)
def concat(call: Call) -> Step:
    """Inputs one behind the other, rescaled on the way."""
    return move_step(call, call.output_elements(), tuple(range(len(call.node.inputs))))


def _q_linear_global_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if call.integer("channels_last", 0):
        return (Info(call.dtype(0), (shape[0], *(1,) * (len(shape) - 2), shape[-1])),)
    return (Info(call.dtype(0), (*shape[:2], *(1,) * (len(shape) - 2))),)


operator("QLinearGlobalAveragePool", domain=MICROSOFT, shape=_q_linear_global_shape, category=REDUCTION)(
    global_pool
)


def _q_linear_pool_shape(call: Call) -> tuple[Info]:
    if call.integer("channels_last", 0):
        return channels_last_shape(call)
    return (Info(call.dtype(0), pooled(call, call.shape(0))),)


operator("QLinearAveragePool", domain=MICROSOFT, shape=_q_linear_pool_shape, category=POOLING)(pool)


def _q_gemm_shape(call: Call) -> tuple[Info]:
    dtype = call.dtype(8) if call.has(8) else DType.FLOAT32
    return (Info(dtype, gemm_shape(call, 0, 3)),)


@operator("QGemm", domain=MICROSOFT, shape=_q_gemm_shape, treatment=MATRIX)
def quantized_gemm(call: Call) -> Step:
    """Quantised Gemm: requantising the sums is elementwise work."""
    parameters = call.weights(0, 3, 6) + call.weights(1, 2, 4, 5, 7, 8, role="vector")
    requantize = call.vector(ELEMENTWISE, call.output_elements())
    return product_step(gemm_product(call, 0, 3), parameters, (requantize,))


def _to_float_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(2), product(call.shape(0), call.shape(1))),)


@operator("MatMulIntegerToFloat", domain=MICROSOFT, shape=_to_float_shape, treatment=MATRIX)
def matmul_integer_to_float(call: Call) -> Step:
    """Integer product whose sums become real numbers, with an optional bias."""
    parameters = call.weights(0, 1, 6) + call.weights(2, 3, 4, 5, role="vector")
    convert = call.vector(ELEMENTWISE, call.output_elements())
    return product_step(matrix_product(call), parameters, (convert,))


@operator("DynamicQuantizeMatMul", domain=MICROSOFT, shape=matmul_shape, treatment=MATRIX)
def dynamic_quantize_matmul(call: Call) -> Step:
    """The left operand's range is found and it is converted, then multiplied as integers."""
    parameters = call.weights(1, 4) + call.weights(2, 3, role="vector")
    work = (
        call.vector(REDUCTION, call.elements(0)),
        call.vector(ELEMENTWISE, call.elements(0)),
        call.vector(ELEMENTWISE, call.output_elements()),
    )
    return product_step(matrix_product(call), parameters, work)


def _matmul_n_bits_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    depth, columns = call.integer("K", 0), call.integer("N", 0)
    if not shape or shape[-1] != depth or columns < 1:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {depth}x{columns}")
    return (Info(call.dtype(0), (*shape[:-1], columns)),)


@operator("MatMulNBits", domain=MICROSOFT, shape=_matmul_n_bits_shape, treatment=MATRIX)
@operator("MatMulBnb4", domain=MICROSOFT, shape=_matmul_n_bits_shape, treatment=MATRIX)
def matmul_n_bits(call: Call) -> Step:
    """Product by weights packed to a few bits, with scales per block of K; converting them is free."""
    shape = call.shape(0, least_rank=1)
    k, n = call.integer("K", shape[-1]), call.integer("N", 0)
    bits = call.integer("bits", 4)
    if min(k, n) < 1 or shape[-1] != k or not 1 <= bits <= 8:
        raise ShapeConflictError(
            f"K={k}, N={n}, bits={bits} do not fit an operand of shape {list(shape)}",
            accepted="K equal to its last extent, a positive N and 1 to 8 bits",
        )
    call.info(1)  # must be there
    parameters = packed_weight(call, 1, bits) + call.weights(2) + call.weights(3, 4, role="vector")
    return product_step(dense(call, n), parameters + call.weights(5))


def _ordered_matmul_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), product(call.shape(0), call.shape(2))),)


@operator("QOrderedMatMul", domain=MICROSOFT, shape=_ordered_matmul_shape, treatment=MATRIX)
def ordered_matmul(call: Call) -> Step:
    """Product of 8-bit matrices in an order of their own, requantised."""
    parameters = call.weights(0, 2, 5, 6) + call.weights(1, 3, 4, 7, role="vector")
    requantize = call.vector(ELEMENTWISE, call.output_elements())
    return product_step(matrix_product(call, 0, 2), parameters, (requantize,))


def _packed_floats_shape(call: Call) -> tuple[Info]:
    depth, columns = call.integers(2)[-2:]
    shape = call.shape(0, least_rank=1)
    if shape[-1] != depth:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {depth}x{columns}")
    return (Info(call.dtype(0), (*shape[:-1], columns)),)


@operator("MatMulFpQ4", domain=MICROSOFT, shape=_packed_floats_shape, treatment=MATRIX)
def packed_floats(call: Call) -> Step:
    """Product by 4-bit weights whose shape is a third input."""
    depth, columns = call.integers(2)[-2:]
    return product_step(dense(call, columns, depth=depth), call.weights(1))


def _ordered_type_shape(call: Call) -> tuple[Info]:
    dtype = DType.INT8 if call.op == "QuantizeWithOrder" else DType.FLOAT32
    return (Info(dtype, call.shape(0)),)


@operator(
    "QuantizeWithOrder",
    "DequantizeWithOrder",
    domain=MICROSOFT,
    shape=_ordered_type_shape,
    category=ELEMENTWISE,
)
def reorder(call: Call) -> Step:
    """One pass; the order of the elements changes with their type."""
    return vector_step(call, ELEMENTWISE, call.output_elements())


@operator("QOrderedLayerNormalization", domain=MICROSOFT, shape=like_first, category=NORMALIZATION)
def ordered_normalization(call: Call) -> Step:
    """Statistics over the input, then scale and bias, which are parameters."""
    work = call.vector(NORMALIZATION, call.elements(0))
    return Step(LayerKind.VECTOR, vector=(work,), weights=call.weights(2, 3))
