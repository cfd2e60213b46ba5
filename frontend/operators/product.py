"""Matrix products: MatMul, Gemm and their integer forms."""

from __future__ import annotations

import math

from layerweaver.frontend.operation import Operation, Step, WeightRead, axis_for
from layerweaver.frontend.registry import Treatment, lowers
from layerweaver.ir import BatchAxis, LayerKind, MatrixWork, VectorCategory, VectorWork


def _broadcast(operation: Operation, left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(left), len(right))
    left = (1,) * (rank - len(left)) + left
    right = (1,) * (rank - len(right)) + right
    for first, second in zip(left, right, strict=True):
        if first != second and 1 not in (first, second):
            raise operation.error(f"batch axes {list(left)} and {list(right)} do not broadcast")
    return tuple(second if first == 1 else first for first, second in zip(left, right, strict=True))


def matrix_product(
    operation: Operation,
    left: int = 0,
    right: int = 1,
    *,
    transpose_left: bool = False,
    transpose_right: bool = False,
) -> MatrixWork:
    """The product of two operands with broadcast batch axes, as MatMul defines it (one axis included).

    A constant operand is the K x N side, whichever side it stands on. Products of two activations are one
    group per batch element, unless one of them is shared by the whole batch.

    Args:
        operation: The node.
        left: Index of the left operand.
        right: Index of the right operand.
        transpose_left: Whether the last two axes of the left operand are swapped.
        transpose_right: Whether those of the right one are.
    """
    a = operation.shape(left, least_rank=1)
    b = operation.shape(right, least_rank=1)
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    if transpose_left:
        a = (*a[:-2], a[-1], a[-2])
    if transpose_right:
        b = (*b[:-2], b[-1], b[-2])
    if a[-1] != b[-2]:
        raise operation.error(f"inner extents {a[-1]} and {b[-2]} of {list(a)} and {list(b)} differ")
    batch = math.prod(_broadcast(operation, a[:-2], b[:-2]))
    m, k, n = a[-2], a[-1], b[-1]
    a_value, b_value = operation.input(left), operation.input(right)
    weights = a_value.constant != b_value.constant
    if b_value.constant or (not a_value.constant and not b_value.batched):
        shared = max(1, math.prod(b[:-2]))
        work = (shared, batch // shared * m, n)
        axis = BatchAxis.M
    elif a_value.constant or not a_value.batched:
        shared = max(1, math.prod(a[:-2]))
        work = (shared, batch // shared * n, m)
        axis = BatchAxis.M
    elif min(len(a), len(b)) > 2:
        work = (batch, m, n)
        axis = BatchAxis.GROUPS
    else:
        work = (1, batch * m, n) if len(b) == 2 else (1, batch * n, m)
        axis = BatchAxis.M
    return MatrixWork(*work, k, weights, 1, axis_for(operation.batched, axis))


def product_step(
    work: MatrixWork,
    parameters: tuple[WeightRead, ...],
    vector: tuple[VectorWork, ...] = (),
) -> Step:
    """A matrix layer with its parameters."""
    return Step(LayerKind.MATRIX, matrix=work, weights=parameters, vector=vector)


@lowers("MatMul", treatment=Treatment.MATRIX)
def matmul(operation: Operation) -> Step:
    """Matrix product with broadcast batch axes."""
    return product_step(matrix_product(operation), operation.weights(0, 1))


@lowers("MatMulInteger", treatment=Treatment.MATRIX)
def matmul_integer(operation: Operation) -> Step:
    """Integer product with zero points."""
    return product_step(
        matrix_product(operation),
        operation.weights(0, 1) + operation.weights(2, 3, role="vector"),
    )


@lowers("QLinearMatMul", treatment=Treatment.MATRIX)
def quantized_matmul(operation: Operation) -> Step:
    """Quantised product: requantising the sums is elementwise work."""
    return product_step(
        matrix_product(operation, 0, 3),
        operation.weights(0, 3) + operation.weights(1, 2, 4, 5, 6, 7, role="vector"),
        (operation.vector(VectorCategory.ELEMENTWISE, operation.output_elements()),),
    )


def gemm_product(operation: Operation, left: int = 0, right: int = 1) -> MatrixWork:
    """The product of Gemm with its transpose attributes (both operands have two axes)."""
    return matrix_product(
        operation,
        left,
        right,
        transpose_left=operation.integer("transA", 0) != 0,
        transpose_right=operation.integer("transB", 0) != 0,
    )


@lowers("Gemm", treatment=Treatment.MATRIX)
def gemm(operation: Operation) -> Step:
    """General matrix product; the addend rides along."""
    return product_step(gemm_product(operation), operation.weights(0, 1, 2))
