"""Quantised operators of the domain com.microsoft."""

from __future__ import annotations

import math

from layerweaver.frontend.operation import Operation, Step, WeightRead, axis_for
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.movement import MOVE, move_step
from layerweaver.frontend.operators.pooling import POOLING, REDUCTION
from layerweaver.frontend.operators.product import gemm_product, matrix_product, product_step
from layerweaver.frontend.registry import MICROSOFT, Treatment, lowers
from layerweaver.ir import DType, MatrixWork, VectorCategory


@lowers(
    "QLinearAdd", "QLinearMul", "QLinearLeakyRelu", "QLinearWhere", domain=MICROSOFT, category=ELEMENTWISE
)
@lowers("QLinearReduceMean", domain=MICROSOFT, category=ELEMENTWISE)
def elementwise(operation: Operation) -> Step:
    """One pass over the larger of input and result, requantising included."""
    return vector_step(operation, ELEMENTWISE, max(operation.output_elements(), operation.elements(0)))


@lowers("QLinearSigmoid", domain=MICROSOFT, category=TRANSCENDENTAL)
def sigmoid(operation: Operation) -> Step:
    """One pass of a special function."""
    return vector_step(operation, TRANSCENDENTAL, operation.output_elements())


@lowers("QLinearSoftmax", domain=MICROSOFT, category=VectorCategory.SOFTMAX)
def softmax(operation: Operation) -> Step:
    """Normalised exponentials of quantised values."""
    return vector_step(operation, VectorCategory.SOFTMAX, operation.elements(0))


@lowers("QLinearConcat", domain=MICROSOFT, treatment=Treatment.MOVE, category=MOVE)
def concat(operation: Operation) -> Step:
    """Inputs one behind the other, rescaled on the way."""
    return move_step(operation, operation.output_elements(), tuple(range(len(operation.node.inputs))))


@lowers("QLinearGlobalAveragePool", domain=MICROSOFT, category=REDUCTION)
def global_pool(operation: Operation) -> Step:
    """Every input element is read once."""
    return vector_step(operation, REDUCTION, operation.elements(0), parameters=())


@lowers("QLinearAveragePool", domain=MICROSOFT, category=POOLING)
def average_pool(operation: Operation) -> Step:
    """Every output looks at the kernel's window."""
    window = max(1, math.prod(operation.integers("kernel_shape", (1,))))
    return vector_step(operation, POOLING, operation.output_elements(), window=window, parameters=())


@lowers("QGemm", domain=MICROSOFT, treatment=Treatment.MATRIX)
def quantized_gemm(operation: Operation) -> Step:
    """Quantised Gemm: requantising the sums is elementwise work."""
    parameters = operation.weights(0, 3, 6) + operation.weights(1, 2, 4, 5, 7, 8, role="vector")
    requantize = operation.vector(ELEMENTWISE, operation.output_elements())
    return product_step(gemm_product(operation, 0, 3), parameters, (requantize,))


@lowers("MatMulIntegerToFloat", domain=MICROSOFT, treatment=Treatment.MATRIX)
def matmul_integer_to_float(operation: Operation) -> Step:
    """Integer product whose sums become real numbers, with an optional bias."""
    parameters = operation.weights(0, 1, 6) + operation.weights(2, 3, 4, 5, role="vector")
    convert = operation.vector(ELEMENTWISE, operation.output_elements())
    return product_step(matrix_product(operation), parameters, (convert,))


@lowers("DynamicQuantizeMatMul", domain=MICROSOFT, treatment=Treatment.MATRIX)
def dynamic_quantize_matmul(operation: Operation) -> Step:
    """The left operand's range is found and it is converted, then multiplied as integers."""
    parameters = operation.weights(1, 4) + operation.weights(2, 3, role="vector")
    work = (
        operation.vector(REDUCTION, operation.elements(0)),
        operation.vector(ELEMENTWISE, operation.elements(0)),
        operation.vector(ELEMENTWISE, operation.output_elements()),
    )
    return product_step(matrix_product(operation), parameters, work)


_PACKED = {2: DType.UINT2, 4: DType.UINT4, 8: DType.UINT8}


@lowers("MatMulNBits", "MatMulBnb4", domain=MICROSOFT, treatment=Treatment.MATRIX)
def matmul_n_bits(operation: Operation) -> Step:
    """Product by weights packed to a few bits, with scales per block of K; converting them is free."""
    shape = operation.shape(0, least_rank=1)
    k, n = operation.integer("K", shape[-1]), operation.integer("N", 0)
    bits = operation.integer("bits", 4)
    if min(k, n) < 1 or shape[-1] != k or not 1 <= bits <= 8:
        raise operation.error(
            f"K={k}, N={n}, bits={bits} do not fit an operand of shape {list(shape)}",
            accepted="K equal to its last extent, a positive N and 1 to 8 bits",
        )
    work = MatrixWork(
        1,
        operation.elements(0) // k,
        n,
        k,
        operation.constant(1),
        1,
        axis_for(operation.batched),
    )
    dtype = _PACKED.get(bits, DType.UINT8)
    stored = operation.elements(1) * operation.input(1).dtype.bits // dtype.bits
    weights: tuple[WeightRead, ...] = ()
    if operation.constant(1):
        weights = (WeightRead(operation.input_name(1), "matrix", stored, dtype),)
    parameters = weights + operation.weights(2) + operation.weights(3, 4, role="vector")
    return product_step(work, parameters + operation.weights(5))
