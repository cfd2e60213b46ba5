"""Matrix products: MatMul, Gemm and their integer forms."""

from __future__ import annotations

import math

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation, axis_for
from layerweaver.frontend.node.registry import MICROSOFT, Treatment, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, broadcast, text
from layerweaver.frontend.node.work import Step, WeightRead
from layerweaver.ir import BatchAxis, LayerKind, MatrixWork, VectorCategory, VectorWork
from layerweaver.ir.dtypes import DType

__all__ = ["product"]


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


@rule("MatMul", foldable=False)
def _matmul(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), product(call.shape(0), call.shape(1))),)


@rule("MatMulInteger", foldable=False)
def _matmul_integer(call: Call) -> tuple[Info]:
    return (Info(DType.INT32, product(call.shape(0), call.shape(1))),)


def _swap_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2]) if len(shape) > 1 else shape


def _batch_to_inner(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:-1], shape[0], shape[-1]) if len(shape) > 2 else shape


@rule("FusedMatMul", "TransposeMatMul", domain=MICROSOFT, foldable=False)
def _fused_matmul(call: Call) -> tuple[Info]:
    left, right = call.shape(0), call.shape(1)
    left = _batch_to_inner(left) if call.integer("transBatchA", 0) else left
    right = _batch_to_inner(right) if call.integer("transBatchB", 0) else right
    left = _swap_last(left) if call.integer("transA", 0) else left
    right = _swap_last(right) if call.integer("transB", 0) else right
    return (Info(call.dtype(0), product(left, right)),)


@rule("SparseToDenseMatMul", domain=MICROSOFT, foldable=False)
def _sparse_matmul(call: Call) -> tuple[Info]:
    left, right = call.shape(0), call.shape(1)
    left = _swap_last(left) if call.integer("transA", 0) else left
    right = _swap_last(right) if call.integer("transB", 0) else right
    return (Info(call.dtype(1), product(left, right)),)


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


@rule("Gemm", foldable=False)
def _gemm(call: Call) -> tuple[Info]:
    shape = gemm_shape(call, call.shape(0), call.shape(1))
    bias = call.inputs[2].shape if call.has(2) and call.inputs[2] is not None else None
    if bias and call.opset >= 7 and broadcast((shape, bias)) != shape:
        raise ShapeConflictError(f"a bias of {text(bias)} does not fit a product of {text(shape)}")
    return (Info(call.dtype(0), shape),)


@rule("FusedGemm", domain=MICROSOFT, foldable=False)
def _fused_gemm(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), gemm_shape(call, call.shape(0), call.shape(1))),)


@rule("GemmFloat8", domain=MICROSOFT, foldable=False)
def _gemm_float8(call: Call) -> tuple[Info]:
    from_code = {1: DType.FLOAT32, 10: DType.FLOAT16, 16: DType.BFLOAT16}
    dtype = from_code.get(call.integer("dtype", 1), DType.FLOAT32)
    return (Info(dtype, gemm_shape(call, call.shape(0), call.shape(1))),)


@rule("GemmFastGelu", domain=MICROSOFT, foldable=False)
def _gemm_fast_gelu(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), product(call.shape(0), call.shape(1))),)


@rule("Det")
def _det(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeConflictError(f"{text(shape)} is not square")
    return (Info(call.dtype(0), shape[:-2]),)
