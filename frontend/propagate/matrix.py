"""Shapes of matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerweaver.frontend.propagate.call import MICROSOFT, Call, rule
from layerweaver.frontend.propagate.values import Info, ShapeConflictError, broadcast, text
from layerweaver.ir.dtypes import DType

__all__ = ["einsum_terms", "product"]


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


def einsum_terms(equation: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[str], str, dict[str, int]]:
    """Subscripts of each operand and of the result, and the extent of each letter.

    An ellipsis is spelled out as digits, counted from the right so that they broadcast.

    Raises:
        ShapeConflictError: The equation does not fit the shapes.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    if len(operands) != len(shapes):
        raise ShapeConflictError(
            f"equation {equation!r} names {len(operands)} operands, there are {len(shapes)}"
        )
    extents: dict[str, int] = {}
    terms, longest = [], 0
    for operand, shape in zip(operands, shapes, strict=True):
        hidden = 0
        if "..." in operand:
            hidden = len(shape) - (len(operand) - 3)
            if hidden < 0 or hidden > 9:
                raise ShapeConflictError(f"equation {equation!r} does not fit {text(shape)}")
        longest = max(longest, hidden)
        term = operand.replace("...", "".join(str(hidden - 1 - place) for place in range(hidden)))
        if len(term) != len(shape):
            raise ShapeConflictError(f"equation {equation!r} does not fit {text(shape)}")
        for letter, extent in zip(term, shape, strict=True):
            known = extents.setdefault(letter, extent)
            if known == 1:
                extents[letter] = extent
            elif extent not in (1, known):
                raise ShapeConflictError(
                    f"equation {equation!r} does not fit {' and '.join(map(text, shapes))}"
                )
        terms.append(term)
    dots = "".join(str(longest - 1 - place) for place in range(longest))
    if arrow:
        result = right.replace("...", dots)
    else:
        joined = "".join(terms)
        result = dots + "".join(
            letter for letter in sorted(set(joined)) if letter.isalpha() and joined.count(letter) == 1
        )
    for letter in result:
        if letter not in extents:
            raise ShapeConflictError(f"equation {equation!r} makes axis {letter!r} from nothing")
    return terms, result, extents


@rule("Einsum", foldable=False)
def _einsum(call: Call) -> tuple[Info]:
    shapes = [call.shape(index) for index in range(len(call.inputs))]
    _, result, extents = einsum_terms(call.text("equation", ""), shapes)
    return (Info(call.dtype(0), tuple(extents[letter] for letter in result)),)


@rule("Det")
def _det(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeConflictError(f"{text(shape)} is not square")
    return (Info(call.dtype(0), shape[:-2]),)
