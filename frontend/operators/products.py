"""Matrix products: MatMul, Gemm and their integer forms."""

from __future__ import annotations

import math

from layerweaver.frontend.node.registry import MICROSOFT, Treatment, operator, shape_only
from layerweaver.frontend.node.values import Info, ShapeConflictError, broadcast, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step, WeightRead
from layerweaver.ir import BatchAxis, DType, LayerKind, MatrixWork, VectorCategory, VectorWork


def product_step(
    work: MatrixWork,
    parameters: tuple[WeightRead, ...],
    vector: tuple[VectorWork, ...] = (),
) -> Step:
    """A matrix layer with its parameters."""
    return Step(LayerKind.MATRIX, matrix=work, weights=parameters, vector=vector)


def matrix_product(
    call: Call,
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
        call: The node.
        left: Index of the left operand.
        right: Index of the right operand.
        transpose_left: Whether the last two axes of the left operand are swapped.
        transpose_right: Whether those of the right one are.
    """
    a = call.shape(left, least_rank=1)
    b = call.shape(right, least_rank=1)
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    if transpose_left:
        a = (*a[:-2], a[-1], a[-2])
    if transpose_right:
        b = (*b[:-2], b[-1], b[-2])
    batch = math.prod(broadcast((a[:-2], b[:-2])))
    m, k, n = a[-2], a[-1], b[-1]
    a_value, b_value = call.info(left), call.info(right)
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
    return MatrixWork(*work, k, weights, 1, axis_for(call.batched, axis))


def product(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the matrix product of ``left`` and ``right`` (NumPy's matmul).

    Raises:
        ShapeConflictError: The inner extents differ or the outer ones do not broadcast.
    """
    if not left or not right:
        raise ShapeConflictError(f"cannot multiply {text(left)} by {text(right)}: a scalar is no matrix")
    rows = left[-2:-1]
    columns = right[-1:] if len(right) > 1 else ()
    inner = right[-2] if len(right) > 1 else right[0]
    if left[-1] != inner:
        raise ShapeConflictError(f"cannot multiply {text(left)} by {text(right)}: {left[-1]} is not {inner}")
    if left[:-2] == right[:-2]:
        return (*left[:-2], *rows, *columns)
    try:
        outer = broadcast((left[:-2], right[:-2]))
    except ShapeConflictError:
        raise ShapeConflictError(f"cannot multiply {text(left)} by {text(right)}") from None
    return (*outer, *rows, *columns)


def matmul_shape(call: Call) -> tuple[Info]:
    """Shape rule of the matrix product of the first two inputs."""
    return (Info(call.dtype(0), product(call.shape(0), call.shape(1))),)


@operator("MatMul", shape=matmul_shape, treatment=Treatment.MATRIX)
def matmul(call: Call) -> Step:
    """Matrix product with broadcast batch axes."""
    return product_step(matrix_product(call), call.weights(0, 1))


def _matmul_integer_shape(call: Call) -> tuple[Info]:
    return (Info(DType.INT32, product(call.shape(0), call.shape(1))),)


@operator("MatMulInteger", shape=_matmul_integer_shape, treatment=Treatment.MATRIX)
def matmul_integer(call: Call) -> Step:
    """Integer product with zero points."""
    return product_step(
        matrix_product(call),
        call.weights(0, 1) + call.weights(2, 3, role="vector"),
    )


def _q_linear_matmul_shape(call: Call) -> tuple[Info]:
    dtype = call.dtype(7) if call.has(7) else call.dtype(0)
    return (Info(dtype, product(call.shape(0), call.shape(3))),)


@operator("QLinearMatMul", shape=_q_linear_matmul_shape, treatment=Treatment.MATRIX)
def quantized_matmul(call: Call) -> Step:
    """Quantised product: requantising the sums is elementwise work."""
    return product_step(
        matrix_product(call, 0, 3),
        call.weights(0, 3) + call.weights(1, 2, 4, 5, 6, 7, role="vector"),
        (call.vector(VectorCategory.ELEMENTWISE, call.output_elements()),),
    )


def gemm_product(call: Call, left: int = 0, right: int = 1) -> MatrixWork:
    """The product of Gemm with its transpose attributes (both operands have two axes)."""
    return matrix_product(
        call,
        left,
        right,
        transpose_left=call.integer("transA", 0) != 0,
        transpose_right=call.integer("transB", 0) != 0,
    )


def gemm_shape(call: Call, left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the general matrix product with the node's ``transA`` and ``transB``.

    Raises:
        ShapeConflictError: Not two matrices, or the inner extents differ.
    """
    if call.opset < 7 and call.node.domain == "" and len(left) > 2:
        left = (left[0], math.prod(left[1:]))
    if len(left) != 2 or len(right) != 2:
        raise ShapeConflictError(f"cannot multiply {text(left)} by {text(right)}: not two matrices")
    rows, inner = left[::-1] if call.integer("transA", 0) else left
    depth, columns = right[::-1] if call.integer("transB", 0) else right
    if inner != depth:
        raise ShapeConflictError(f"cannot multiply {text(left)} by {text(right)}: {inner} is not {depth}")
    return (rows, columns)


def _gemm_shape(call: Call) -> tuple[Info]:
    shape = gemm_shape(call, call.shape(0), call.shape(1))
    bias = call.inputs[2].shape if call.has(2) and call.inputs[2] is not None else None
    if bias and call.opset >= 7 and broadcast((shape, bias)) != shape:
        raise ShapeConflictError(f"a bias of {text(bias)} does not fit a product of {text(shape)}")
    return (Info(call.dtype(0), shape),)


@operator("Gemm", shape=_gemm_shape, treatment=Treatment.MATRIX)
def gemm(call: Call) -> Step:
    """General matrix product; the addend rides along."""
    return product_step(gemm_product(call), call.weights(0, 1, 2))


shape_only("MatMulInteger16", shape=_matmul_integer_shape, domain=MICROSOFT, foldable=False)
