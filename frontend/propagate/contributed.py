"""Shapes of further operators of ONNX Runtime's own domain (com.microsoft)."""

from __future__ import annotations

import math

from layerweaver.frontend.propagate import (  # the rules that it shares must be there first
    casting,
    convolution,
    elementwise,
    generators,
    image,
    indexing,
    matrix,
    normalisation,
    quantised,
    reduction,
    reshaping,
)
from layerweaver.frontend.propagate.call import MICROSOFT, RULES, Call, rule
from layerweaver.frontend.propagate.values import Info, ShapeConflictError, text
from layerweaver.ir.dtypes import DType

__all__ = ["SOURCES"]

SOURCES = (
    casting,
    convolution,
    elementwise,
    generators,
    image,
    indexing,
    matrix,
    normalisation,
    quantised,
    reduction,
    reshaping,
)
"""Modules whose rules this domain shares."""

_SHARED = (
    *("Gather", "GatherND", "Pad", "Range", "Unique", "Trilu", "LayerNormalization"),
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "Gemm", "MatMul"),
    *("Add", "Mul", "Sub", "Div", "Relu", "Sigmoid", "Tanh", "Softmax", "Concat", "Split", "Clip"),
    *("Transpose", "Reshape", "Where", "ReduceSum", "ReduceMean", "Resize", "Upsample", "Cast"),
    *("QLinearMatMul", "MatMulInteger", "ConvInteger", "DynamicQuantizeLinear"),
)
"""Operators that this domain repeats from the default one."""

for _name in _SHARED:
    if ("", _name) in RULES and (MICROSOFT, _name) not in RULES:
        RULES[MICROSOFT, _name] = RULES["", _name]


@rule("MaxpoolWithMask", domain=MICROSOFT)
def _maxpool_with_mask(call: Call) -> tuple[Info]:
    pooled = RULES["", "MaxPool"].function(call)
    return (pooled[0],)


@rule("ExpandDims", domain=MICROSOFT)
def _expand_dims(call: Call) -> tuple[Info]:
    shape, axis = call.shape(0), call.integers(1)[0]
    place = call.axis(axis, len(shape) + 1)
    return (Info(call.dtype(0), (*shape[:place], 1, *shape[place:])),)


@rule("CDist", domain=MICROSOFT, foldable=False)
def _cdist(call: Call) -> tuple[Info]:
    left, right = call.shape(0), call.shape(1)
    if len(left) != 2 or len(right) != 2 or left[1] != right[1]:
        raise ShapeConflictError(f"points of {text(left)} and {text(right)} do not fit")
    return (Info(call.dtype(0), (left[0], right[0])),)


@rule("NGramRepeatBlock", "BifurcationDetector", "MurmurHash3", domain=MICROSOFT)
def _scores(call: Call) -> tuple[Info]:
    found = 1 if call.op == "NGramRepeatBlock" else 0
    dtype = DType.UINT32 if call.op == "MurmurHash3" else call.dtype(found)
    return (Info(dtype, call.shape(found)),)


@rule("RemovePadding", domain=MICROSOFT)
def _remove_padding(call: Call) -> tuple[Info, ...]:
    shape = call.shape(0)
    batch, positions = shape[0], shape[1]
    call.note(f"how many tokens are no padding depends on data: taken as all {batch * positions}")
    return (
        Info(call.dtype(0), (batch * positions, *shape[2:]), upper=True),
        Info(DType.INT32, (batch, positions)),
        Info(DType.INT32, (batch + 1,)),
        Info(DType.INT32, (1,)),
    )


@rule("RestorePadding", domain=MICROSOFT)
def _restore_padding(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), (*call.shape(1), *call.shape(0)[1:])),)


@rule("UnfoldTensor", domain=MICROSOFT)
def _unfold(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    axis = call.axis(call.integer("dim", -1), len(shape))
    size, step = call.integer("size", 1), max(call.integer("step", 1), 1)
    if shape[axis] < size:
        raise ShapeConflictError(f"windows of {size} do not fit axis {axis} of {text(shape)}")
    windows = (shape[axis] - size) // step + 1
    return (Info(call.dtype(0), (*shape[:axis], windows, *shape[axis + 1 :], size)),)


@rule("DynamicTimeWarping", domain=MICROSOFT)
def _dynamic_time_warping(call: Call) -> tuple[Info]:
    rows, columns = call.shape(0)[-2:]
    call.note("how long the path is depends on data: taken as the longest")
    return (Info(DType.INT32, (2, rows + columns - 1), upper=True),)


@rule("WordConvEmbedding", domain=MICROSOFT, foldable=False)
def _word_conv_embedding(call: Call) -> tuple[Info]:
    return (Info(call.dtype(1), (*call.shape(0)[:-1], call.shape(1)[0])),)


@rule("FusedMatMulActivation", domain=MICROSOFT, foldable=False)
def _fused_matmul_activation(call: Call) -> tuple[Info]:
    result = RULES[MICROSOFT, "FusedMatMul"].function(call)
    return (result[0],)


@rule("BeamSearch", "GreedySearch", "Sampling", domain=MICROSOFT, foldable=False)
def _search(call: Call) -> tuple[Info, ...]:
    shape = call.shape(0)
    longest = call.integers(1)[0]
    call.note("the decoder inside is not unrolled: its work is not counted")
    if call.op != "BeamSearch":
        return (Info(DType.INT32, (shape[0], longest), upper=True),)
    returned = call.integers(4)[0] if call.has(4) else 1
    return (
        Info(DType.INT32, (shape[0], returned, longest), upper=True),
        Info(DType.FLOAT32, (shape[0], returned)),
    )


@rule("Tokenizer", domain=MICROSOFT)
def _tokenizer(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    call.note("how many tokens there are depends on data: taken as one per text")
    return (Info(DType.STRING, (*shape, 1), upper=True),)


@rule("QuantizeBFP", "DequantizeBFP", domain=MICROSOFT)
def _block_floating_point(call: Call) -> tuple[Info, ...]:
    if call.op == "QuantizeBFP":
        size = math.prod(call.shape(0))
        return (
            Info(DType.UINT8, (size,)),
            Info(DType.INT64, (len(call.shape(0)),)),
            Info(DType.INT64, (len(call.shape(0)),)),
        )
    return (Info(DType.FLOAT32, tuple(call.integers(1))),)
