"""Fused products and convolutions of the domain com.microsoft."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from layerweaver.frontend.node.registry import (
    MATRIX,
    MICROSOFT,
    ShapeRule,
    Treatment,
    like_first,
    operator,
    shape_only,
)
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.activation import contrib_activation_shape
from layerweaver.frontend.operators.convolution import conv_shape, convolution, convolved, filters_last
from layerweaver.frontend.operators.elementwise import (
    ELEMENTWISE,
    TRANSCENDENTAL,
    broadcast_inputs,
    elementwise,
    vector_step,
)
from layerweaver.frontend.operators.image import grid_sample_shape
from layerweaver.frontend.operators.movement import MOVE, move, trilu_shape
from layerweaver.frontend.operators.products import (
    gemm_product,
    gemm_shape,
    matmul_shape,
    matrix_product,
    product,
    product_step,
    swap_last,
)
from layerweaver.frontend.operators.reduction import REDUCTION, reduction
from layerweaver.frontend.operators.views import view
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import DType, VectorWork

_PIECEWISE_LINEAR = ("Relu", "LeakyRelu", "Clip", "HardSigmoid", "ThresholdedRelu")


def _activation(call: Call) -> tuple[VectorWork, ...]:
    name = call.text("activation", "")
    if not name:
        return ()
    category = ELEMENTWISE if name in _PIECEWISE_LINEAR else TRANSCENDENTAL
    return (call.vector(category, call.output_elements(), operator=name),)


def _fused_conv(call: Call, *, channels_last: bool) -> Step:
    residual = call.vector(ELEMENTWISE, call.output_elements(), operator="Add")
    return convolution(
        call,
        parameters=call.weights(1, 2),
        vector=((residual,) if call.has(3) else ()) + _activation(call),
        channels_last=channels_last,
    )


@operator("FusedConv", domain=MICROSOFT, shape=conv_shape, treatment=MATRIX)
def fused_conv(call: Call) -> Step:
    """Convolution, bias, an optional residual and an activation."""
    return _fused_conv(call, channels_last=False)


def _nhwc_conv_shape(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0), call.shape(1)
    if len(shape) < 3 or len(weight) != len(shape):
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    if filters_last(shape[-1], weight, call.integer("group", 1)):
        weight = (weight[0], weight[-1], *weight[1:-1])
    batch, channels, *spatial = convolved(call, (shape[0], shape[-1], *shape[1:-1]), weight)
    return (Info(call.dtype(0), (batch, *spatial, channels)),)


@operator("NhwcConv", "NhwcFusedConv", domain=MICROSOFT, shape=_nhwc_conv_shape, treatment=MATRIX)
def channels_last_conv(call: Call) -> Step:
    """The same with channels in the last axis."""
    return _fused_conv(call, channels_last=True)


def _batch_to_inner(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:-1], shape[0], shape[-1]) if len(shape) > 2 else shape


def _turned(call: Call) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of the two operands as the node's attributes turn them."""
    left, right = call.shape(0, least_rank=1), call.shape(1, least_rank=1)
    left = _batch_to_inner(left) if call.integer("transBatchA", 0) else left
    right = _batch_to_inner(right) if call.integer("transBatchB", 0) else right
    left = swap_last(left) if call.integer("transA", 0) else left
    return left, swap_last(right) if call.integer("transB", 0) else right


def _turned_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), product(*_turned(call))),)


@operator("FusedMatMul", "TransposeMatMul", domain=MICROSOFT, shape=_turned_shape, treatment=MATRIX)
def fused_matmul(call: Call) -> Step:
    """Product with transposed operands and a scale."""
    return product_step(matrix_product(call, shapes=_turned(call)), call.weights(0, 1))


@operator("FusedMatMulActivation", domain=MICROSOFT, shape=_turned_shape, treatment=MATRIX)
def fused_matmul_activation(call: Call) -> Step:
    """The same with an activation."""
    return replace(fused_matmul(call), vector=_activation(call))


def _fused_gemm_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), gemm_shape(call)),)


@operator("FusedGemm", domain=MICROSOFT, shape=_fused_gemm_shape, treatment=MATRIX)
def fused_gemm(call: Call) -> Step:
    """Gemm with an activation."""
    return product_step(gemm_product(call), call.weights(0, 1, 2), _activation(call))


@operator("GemmFastGelu", domain=MICROSOFT, shape=matmul_shape, treatment=MATRIX)
def gemm_fast_gelu(call: Call) -> Step:
    """Product, bias and GELU."""
    gelu = call.vector(TRANSCENDENTAL, call.output_elements(), operator="FastGelu")
    return product_step(matrix_product(call), call.weights(1, 2), (gelu,))


def _broadcast_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), broadcast_inputs(call)),)


def _bitmask_dropout_shape(call: Call) -> tuple[Info, Info]:
    bits = -(-call.elements(0) // 32)
    return Info(call.dtype(0), call.shape(0)), Info(DType.UINT32, (bits,))


def _expand_dims_shape(call: Call) -> tuple[Info]:
    shape, axis = call.shape(0), call.integers(1)[0]
    place = call.axis(axis, len(shape) + 1)
    return (Info(call.dtype(0), (*shape[:place], 1, *shape[place:])),)


def _cdist_shape(call: Call) -> tuple[Info]:
    left, right = call.shape(0), call.shape(1)
    if len(left) != 2 or len(right) != 2 or left[1] != right[1]:
        raise ShapeConflictError(f"points of {text(left)} and {text(right)} do not fit")
    return (Info(call.dtype(0), (left[0], right[0])),)


def _scores_shape(call: Call) -> tuple[Info]:
    found = 1 if call.op == "NGramRepeatBlock" else 0
    dtype = DType.UINT32 if call.op == "MurmurHash3" else call.dtype(found)
    return (Info(dtype, call.shape(found)),)


def _remove_padding_shape(call: Call) -> tuple[Info, ...]:
    shape = call.shape(0)
    batch, positions = shape[0], shape[1]
    call.note(f"how many tokens are no padding depends on data: taken as all {batch * positions}")
    return (
        Info(call.dtype(0), (batch * positions, *shape[2:]), upper=True),
        Info(DType.INT32, (batch, positions)),
        Info(DType.INT32, (batch + 1,)),
        Info(DType.INT32, (1,)),
    )


def _restore_padding_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), (*call.shape(1), *call.shape(0)[1:])),)


def _unfold_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    axis = call.axis(call.integer("dim", -1), len(shape))
    size, step = call.integer("size", 1), max(call.integer("step", 1), 1)
    if shape[axis] < size:
        raise ShapeConflictError(f"windows of {size} do not fit axis {axis} of {text(shape)}")
    windows = (shape[axis] - size) // step + 1
    return (Info(call.dtype(0), (*shape[:axis], windows, *shape[axis + 1 :], size)),)


def _dynamic_time_warping_shape(call: Call) -> tuple[Info]:
    rows, columns = call.shape(0)[-2:]
    call.note("how long the path is depends on data: taken as the longest")
    return (Info(DType.INT32, (2, rows + columns - 1), upper=True),)


def _tokenizer_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    call.note("how many tokens there are depends on data: taken as one per text")
    return (Info(DType.STRING, (*shape, 1), upper=True),)


def _block_floating_point_shape(call: Call) -> tuple[Info, ...]:
    if call.op == "QuantizeBFP":
        shape = call.shape(0)
        axes = [Info(DType.INT64, (len(shape),)) for _ in range(2)]
        return (Info(DType.UINT8, (math.prod(shape),)), *axes)
    return (Info(DType.FLOAT32, tuple(call.integers(1))),)


def _sparse_matmul_shape(call: Call) -> tuple[Info]:
    return (Info(call.dtype(1), product(*_turned(call))),)


def _gemm_float8_shape(call: Call) -> tuple[Info]:
    code = call.integer("dtype", 1)
    return (Info(ONNX_TYPES[code] if code in (10, 16) else DType.FLOAT32, gemm_shape(call)),)


operator("CDist", domain=MICROSOFT, shape=_cdist_shape, category=REDUCTION, foldable=False)(reduction)
operator("SparseToDenseMatMul", domain=MICROSOFT, shape=_sparse_matmul_shape, treatment=MATRIX)(fused_matmul)
operator("GemmFloat8", domain=MICROSOFT, shape=_gemm_float8_shape, treatment=MATRIX)(fused_gemm)
operator("ExpandDims", domain=MICROSOFT, shape=_expand_dims_shape, treatment=Treatment.VIEW)(view)
operator("RemovePadding", domain=MICROSOFT, shape=_remove_padding_shape, category=MOVE)(move)
operator("RestorePadding", domain=MICROSOFT, shape=_restore_padding_shape, category=MOVE)(move)
operator("UnfoldTensor", domain=MICROSOFT, shape=_unfold_shape, category=MOVE)(move)

_ELEMENTWISE: Mapping[ShapeRule | None, tuple[str, ...]] = {
    _broadcast_shape: ("BiasAdd", "AddGelu"),
    like_first: ("BiasDropout", "SoftmaxGrad", "QLinearGelu", "ComplexMul", "ComplexMulConj"),
    _bitmask_dropout_shape: ("BitmaskBiasDropout",),
    contrib_activation_shape: ("Inverse",),
    grid_sample_shape: ("GridSample",),
    _scores_shape: ("NGramRepeatBlock", "BifurcationDetector", "MurmurHash3"),
    _block_floating_point_shape: ("QuantizeBFP", "DequantizeBFP"),
    None: ("BitmaskDropout",),
}
for _rule, _names in _ELEMENTWISE.items():
    operator(*_names, domain=MICROSOFT, shape=_rule, category=ELEMENTWISE)(elementwise)
operator("Trilu", domain=MICROSOFT, shape=trilu_shape, category=ELEMENTWISE, roots_from=(0,))(elementwise)


@operator("DynamicTimeWarping", domain=MICROSOFT, shape=_dynamic_time_warping_shape, category=ELEMENTWISE)
def dynamic_time_warping(call: Call) -> Step:
    """The cheapest of three ways to every pair of positions."""
    return vector_step(call, ELEMENTWISE, call.elements(0), window=3, parameters=())


shape_only("Tokenizer", shape=_tokenizer_shape, domain=MICROSOFT)
shape_only("QSkipLayerNormalization", shape=like_first, domain=MICROSOFT)
