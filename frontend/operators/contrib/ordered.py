"""Products by stored orders and packed floats of the domain com.microsoft."""

from __future__ import annotations

from layerweaver.frontend.node.registry import MICROSOFT, Treatment, like_first, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.products import matrix_product, product, product_step
from layerweaver.ir import DType, LayerKind, MatrixWork, VectorCategory

_NORMALIZATION = VectorCategory.NORMALIZATION


def _ordered_matmul_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), product(call.shape(0), call.shape(2))),)


@operator("QOrderedMatMul", domain=MICROSOFT, shape=_ordered_matmul_shape, treatment=Treatment.MATRIX)
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


@operator("MatMulFpQ4", domain=MICROSOFT, shape=_packed_floats_shape, treatment=Treatment.MATRIX)
def packed_floats(call: Call) -> Step:
    """Product by 4-bit weights whose shape is a third input."""
    depth, columns = call.integers(2)[-2:]
    rows = call.elements(0) // max(1, depth)
    work = MatrixWork(1, rows, columns, depth, call.constant(1), 1, axis_for(call.batched))
    return product_step(work, call.weights(1))


@operator("QOrderedGelu", domain=MICROSOFT, shape=like_first, category=TRANSCENDENTAL)
def ordered_gelu(call: Call) -> Step:
    """One pass of a special function."""
    return vector_step(call, TRANSCENDENTAL, call.output_elements())


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


@operator(
    "QOrderedLayerNormalization", domain=MICROSOFT, shape=like_first, category=VectorCategory.NORMALIZATION
)
def ordered_normalization(call: Call) -> Step:
    """Statistics over the input, then scale and bias, which are parameters."""
    work = call.vector(VectorCategory.NORMALIZATION, call.elements(0))
    return Step(LayerKind.VECTOR, vector=(work,), weights=call.weights(2, 3))
