"""Fused products and convolutions of the domain com.microsoft."""

from __future__ import annotations

import math

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation, axis_for
from layerweaver.frontend.node.registry import MICROSOFT, NCHWC, RULES, Treatment, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.work import Lowered, Step
from layerweaver.frontend.operators.convolution import convolution, convolved
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.products import gemm_product, matrix_product, product_step
from layerweaver.ir import LayerKind, MatrixWork, VectorCategory, VectorWork
from layerweaver.ir.dtypes import DType

_SHARED = (
    *("Gather", "GatherND", "Pad", "Range", "Unique", "Trilu", "LayerNormalization"),
    *("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "Gemm", "MatMul"),
    *("Add", "Mul", "Sub", "Div", "Relu", "Sigmoid", "Tanh", "Softmax", "Concat", "Split", "Clip"),
    *("Transpose", "Reshape", "Where", "ReduceSum", "ReduceMean", "Resize", "Upsample", "Cast"),
    *("QLinearMatMul", "MatMulInteger", "ConvInteger", "DynamicQuantizeLinear"),
)
"""Operators that this domain repeats from the default one."""


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


@rule("Conv", domain=NCHWC, foldable=False)
def _conv(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0), call.shape(1)
    if len(shape) > 1 and len(weight) > 1:
        padded = weight[1] * call.integer("group", 1)
        shape = (shape[0], max(shape[1], padded), *shape[2:])
    return (Info(call.dtype(0), convolved(call, shape, weight)),)


@rule("ReorderInput", domain=NCHWC)
def _reorder_input(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if len(shape) < 3:
        raise ShapeConflictError(f"{text(shape)} is not an image")
    if call.integer("channels_last", 0):
        shape = (shape[0], shape[-1], *shape[1:-1])
    return (Info(call.dtype(0), shape),)


@rule("ReorderOutput", domain=NCHWC)
def _reorder_output(call: Call) -> tuple[Info]:
    shape, channels = call.shape(0), call.integer("channels", 0)
    if len(shape) < 3 or not 0 < channels <= shape[1]:
        raise ShapeConflictError(f"{channels} channels cannot be taken out of {text(shape)}")
    last = bool(call.integer("channels_last", 0))
    plain = (shape[0], *shape[2:], channels) if last else (shape[0], channels, *shape[2:])
    return (Info(call.dtype(0), plain),)


_PIECEWISE_LINEAR = ("Relu", "LeakyRelu", "Clip", "HardSigmoid", "ThresholdedRelu")


def _activation(operation: Operation) -> tuple[VectorWork, ...]:
    name = operation.text("activation", "")
    if not name:
        return ()
    category = ELEMENTWISE if name in _PIECEWISE_LINEAR else TRANSCENDENTAL
    return (operation.vector(category, operation.output_elements(), operator=name),)


@lowers("FusedConv", domain=MICROSOFT, treatment=Treatment.MATRIX)
@lowers("Conv", domain=NCHWC, treatment=Treatment.MATRIX)
def fused_conv(operation: Operation) -> Step:
    """Convolution, bias, an optional residual and an activation."""
    residual = operation.vector(ELEMENTWISE, operation.output_elements(), operator="Add")
    return convolution(
        operation,
        parameters=operation.weights(1, 2),
        vector=((residual,) if operation.has_input(3) else ()) + _activation(operation),
    )


@lowers("NhwcConv", "NhwcFusedConv", domain=MICROSOFT, treatment=Treatment.MATRIX)
def channels_last_conv(operation: Operation) -> Step:
    """The same with channels in the last axis."""
    residual = operation.vector(ELEMENTWISE, operation.output_elements(), operator="Add")
    return convolution(
        operation,
        parameters=operation.weights(1, 2),
        vector=((residual,) if operation.has_input(3) else ()) + _activation(operation),
        channels_last=True,
    )


@lowers("FusedMatMul", "TransposeMatMul", domain=MICROSOFT, treatment=Treatment.MATRIX)
def fused_matmul(operation: Operation) -> Step:
    """Product with transposed operands and a scale."""
    work = matrix_product(
        operation,
        transpose_left=operation.integer("transA", 0) != 0,
        transpose_right=operation.integer("transB", 0) != 0,
    )
    return product_step(work, operation.weights(0, 1))


@lowers("FusedMatMulActivation", domain=MICROSOFT, treatment=Treatment.MATRIX)
def fused_matmul_activation(operation: Operation) -> Step:
    """The same with an activation."""
    step = fused_matmul(operation)
    return Step(step.kind, matrix=step.matrix, weights=step.weights, vector=_activation(operation))


@lowers("FusedGemm", domain=MICROSOFT, treatment=Treatment.MATRIX)
def fused_gemm(operation: Operation) -> Step:
    """Gemm with an activation."""
    return product_step(gemm_product(operation), operation.weights(0, 1, 2), _activation(operation))


@lowers("GemmFastGelu", domain=MICROSOFT, treatment=Treatment.MATRIX)
def gemm_fast_gelu(operation: Operation) -> Step:
    """Product, bias and GELU."""
    gelu = operation.vector(TRANSCENDENTAL, operation.output_elements(), operator="FastGelu")
    return product_step(matrix_product(operation), operation.weights(1, 2), (gelu,))


@lowers("MoE", domain=MICROSOFT, treatment=Treatment.MATRIX)
def mixture_of_experts(operation: Operation) -> Lowered:
    """Every token runs through ``k`` experts of two or three products; all experts are fetched."""
    shape = operation.shape(0, least_rank=2)
    tokens, width = operation.elements(0) // max(1, shape[-1]), shape[-1]
    experts, inner = operation.shape(2, least_rank=3)[0], operation.elements(2)
    inner = inner // max(1, experts * width)
    sent = tokens * max(1, operation.integer("k", 1))
    groups = experts if experts and sent % experts == 0 else 1
    rows = sent // groups
    hidden = f"{operation.key}:hidden"
    axis = axis_for(operation.batched)
    gate = inner if operation.has_input(6) else 0
    entry = MatrixWork(groups, rows, inner + gate, width, operation.constant(2), 1, axis)
    leave = MatrixWork(groups, rows, width, inner, operation.constant(4), 1, axis)
    activation = VectorWork(
        operation.operator, VectorCategory.TRANSCENDENTAL, sent * inner, 1, operation.batched
    )
    return (
        Step(
            LayerKind.MATRIX,
            reads=operation.node.inputs[:2],
            writes=(hidden,),
            matrix=entry,
            vector=(activation,),
            weights=operation.weights(2, 3, 6, 7),
            suffix="expand",
            internal={hidden: sent * inner},
        ),
        Step(
            LayerKind.MATRIX,
            reads=(hidden,),
            matrix=leave,
            weights=operation.weights(4, 5),
            suffix="contract",
        ),
    )


@lowers("BiasAdd", "BiasDropout", "BitmaskDropout", domain=MICROSOFT, category=ELEMENTWISE)
@lowers("Trilu", "Inverse", "GridSample", domain=MICROSOFT, category=ELEMENTWISE)
def elementwise(operation: Operation) -> Step:
    """One pass over the results."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements())


_BLOCKED = ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "Upsample")
"""Operators that the blocked layout repeats from the default domain."""


def repeat_rules() -> None:
    """Give the operators that these domains repeat the rules of the default one; run when all are there."""
    for name in _BLOCKED:
        RULES[NCHWC, name] = RULES["", name]
    for name in _SHARED:
        if ("", name) in RULES and (MICROSOFT, name) not in RULES:
            RULES[MICROSOFT, name] = RULES["", name]
