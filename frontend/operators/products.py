"""Matrix products: MatMul, Gemm and their integer forms."""

from __future__ import annotations

import math

from layerweaver.frontend.node.registry import MATRIX, MICROSOFT, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, broadcast, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step, WeightRead
from layerweaver.ir import BatchAxis, DType, LayerKind, MatrixWork, VectorCategory, VectorWork

PACKED_TYPES = {2: DType.UINT2, 4: DType.UINT4, 8: DType.UINT8}
"""Types of values of so many bits that are packed in bytes."""


def product_step(
    work: MatrixWork,
    parameters: tuple[WeightRead, ...],
    vector: tuple[VectorWork, ...] = (),
) -> Step:
    """A matrix layer with its parameters."""
    return Step(LayerKind.MATRIX, matrix=work, weights=parameters, vector=vector)


def inner_step(
    call: Call,
    name: str,
    work: MatrixWork,
    *,
    reads: tuple[str, ...],
    parameters: tuple[WeightRead, ...] = (),
    vector: tuple[VectorWork, ...] = (),
    role: str = "",
    elements: int | None = None,
) -> Step:
    """A product whose result stays inside of the operator, as ``KEY:name``.

    Args:
        call: The node.
        name: What the step and its result are called.
        work: The product.
        reads: Its operands.
        parameters: Everything constant that is fetched.
        vector: Work on its result.
        role: What the step is known as.
        elements: Elements of the result; None for those of the product.
    """
    inside = f"{call.key}:{name}"
    return Step(
        LayerKind.MATRIX if work.steps == 1 else LayerKind.RECURRENT,
        reads=reads,
        writes=(inside,),
        matrix=work,
        vector=vector,
        weights=parameters,
        suffix=name,
        role=role,
        internal={inside: work.groups * work.m * work.n * work.steps if elements is None else elements},
    )


def dense(
    call: Call, columns: int, *, rows: int | None = None, depth: int | None = None, weight: int = 1
) -> MatrixWork:
    """The product of ``rows`` by operand ``weight`` of ``columns``; by default all rows of operand 0."""
    depth = call.shape(0, least_rank=1)[-1] if depth is None else depth
    rows = call.elements(0) // max(1, depth) if rows is None else rows
    return MatrixWork(1, rows, columns, depth, call.constant(weight), 1, axis_for(call.batched))


def packed_weight(call: Call, index: int, bits: int) -> tuple[WeightRead, ...]:
    """The constant operand ``index``, whose values are packed to ``bits`` each; () when it is no constant."""
    if not call.constant(index):
        return ()
    dtype = PACKED_TYPES.get(bits, DType.UINT8)
    stored = call.elements(index) * call.dtype(index).bits // dtype.bits
    return (WeightRead(call.info(index).name, "matrix", stored, dtype),)


def matrix_product(
    call: Call,
    left: int = 0,
    right: int = 1,
    *,
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
) -> MatrixWork:
    """The product of two operands with broadcast batch axes, as MatMul defines it (one axis included).

    A constant operand is the K x N side, whichever side it stands on. Products of two activations are one
    group per batch element, unless one of them is shared by the whole batch.

    Args:
        call: The node.
        left: Index of the left operand.
        right: Index of the right operand.
        shapes: Their shapes as they are multiplied, where attributes transpose them.
    """
    a, b = shapes or (call.shape(left, least_rank=1), call.shape(right, least_rank=1))
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
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


@operator("MatMul", shape=matmul_shape, treatment=MATRIX)
def matmul(call: Call) -> Step:
    """Matrix product with broadcast batch axes."""
    return product_step(matrix_product(call), call.weights(0, 1))


def _matmul_integer_shape(call: Call) -> tuple[Info]:
    return (Info(DType.INT32, product(call.shape(0), call.shape(1))),)


@operator("MatMulInteger", shape=_matmul_integer_shape, treatment=MATRIX)
@operator("MatMulInteger16", domain=MICROSOFT, shape=_matmul_integer_shape, treatment=MATRIX)
def matmul_integer(call: Call) -> Step:
    """Integer product with zero points."""
    return product_step(
        matrix_product(call),
        call.weights(0, 1) + call.weights(2, 3, role="vector"),
    )


def _q_linear_matmul_shape(call: Call) -> tuple[Info]:
    dtype = call.dtype(7) if call.has(7) else call.dtype(0)
    return (Info(dtype, product(call.shape(0), call.shape(3))),)


@operator("QLinearMatMul", shape=_q_linear_matmul_shape, treatment=MATRIX)
def quantized_matmul(call: Call) -> Step:
    """Quantised product: requantising the sums is elementwise work."""
    return product_step(
        matrix_product(call, 0, 3),
        call.weights(0, 3) + call.weights(1, 2, 4, 5, 6, 7, role="vector"),
        (call.vector(VectorCategory.ELEMENTWISE, call.output_elements()),),
    )


def swap_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` of a matrix, or of many, transposed."""
    return (*shape[:-2], shape[-1], shape[-2]) if len(shape) > 1 else shape


def _gemm_operands(call: Call, left: int, right: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of the two matrices that Gemm multiplies, as ``transA`` and ``transB`` turn them."""
    first, second = call.shape(left), call.shape(right)
    if call.opset < 7 and call.node.domain == "" and len(first) > 2:
        first = (first[0], math.prod(first[1:]))
    if len(first) != 2 or len(second) != 2:
        raise ShapeConflictError(f"cannot multiply {text(first)} by {text(second)}: not two matrices")
    first = swap_last(first) if call.integer("transA", 0) else first
    second = swap_last(second) if call.integer("transB", 0) else second
    if first[1] != second[0]:
        shown = f"cannot multiply {text(call.shape(left))} by {text(call.shape(right))}"
        raise ShapeConflictError(f"{shown}: {first[1]} is not {second[0]}")
    return first, second


def gemm_product(call: Call, left: int = 0, right: int = 1) -> MatrixWork:
    """The product of Gemm with its transpose attributes (both operands have two axes)."""
    return matrix_product(call, left, right, shapes=_gemm_operands(call, left, right))


def gemm_shape(call: Call, left: int = 0, right: int = 1) -> tuple[int, ...]:
    """Shape of the general matrix product with the node's ``transA`` and ``transB``.

    Raises:
        ShapeConflictError: Not two matrices, or the inner extents differ.
    """
    first, second = _gemm_operands(call, left, right)
    return (first[0], second[1])


def _gemm_shape(call: Call) -> tuple[Info]:
    shape = gemm_shape(call)
    bias = call.inputs[2].shape if call.has(2) and call.inputs[2] is not None else None
    if bias and call.opset >= 7 and broadcast((shape, bias)) != shape:
        raise ShapeConflictError(f"a bias of {text(bias)} does not fit a product of {text(shape)}")
    return (Info(call.dtype(0), shape),)


@operator("Gemm", shape=_gemm_shape, treatment=MATRIX)
def gemm(call: Call) -> Step:
    """General matrix product; the addend rides along."""
    return product_step(gemm_product(call), call.weights(0, 1, 2))
