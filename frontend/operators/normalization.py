"""Normalisations."""

from __future__ import annotations

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import MICROSOFT, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.work import Lowered, Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, broadcast_inputs, vector_step
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import LayerKind, VectorCategory
from layerweaver.ir.dtypes import DType

NORMALIZATION = VectorCategory.NORMALIZATION


@lowers("BatchNormalization", category=ELEMENTWISE)
def batch_normalization(operation: Operation) -> Step:
    """One multiplication and addition per element.

    Mean and variance fold into scale and bias before anything runs, so that per channel two parameters
    remain: the mean and the variance are statistics and not counted.
    """
    work = operation.vector(ELEMENTWISE, operation.output_elements())
    return Step(LayerKind.VECTOR, vector=(work,), weights=operation.weights(1, 2))


@lowers("LayerNormalization", "RMSNormalization", "GroupNormalization", category=NORMALIZATION)
@lowers("InstanceNormalization", "MeanVarianceNormalization", "LpNormalization", category=NORMALIZATION)
@lowers("SimplifiedLayerNormalization", category=NORMALIZATION)
@lowers("SimplifiedLayerNormalization", "GroupNorm", domain=MICROSOFT, category=NORMALIZATION)
def normalization(operation: Operation) -> Step:
    """Statistics over the input, then scale and bias, which are parameters."""
    work = operation.vector(NORMALIZATION, operation.elements(0))
    return Step(LayerKind.VECTOR, vector=(work,), weights=operation.weights(1, 2))


@lowers("LRN", category=NORMALIZATION)
def local_response(operation: Operation) -> Step:
    """A window of squares over the channels."""
    window = max(1, operation.integer("size", 1))
    return vector_step(operation, NORMALIZATION, operation.output_elements(), window=window, parameters=())


@lowers(
    "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MICROSOFT, category=NORMALIZATION
)
def skip_normalization(operation: Operation) -> Step:
    """Residual sum, optional bias, then the normalisation."""
    elements = operation.elements(0)
    work = (operation.vector(ELEMENTWISE, elements), operation.vector(NORMALIZATION, elements))
    return Step(LayerKind.VECTOR, vector=work, weights=operation.weights(2, 3, 4))


@lowers("SkipGroupNorm", domain=MICROSOFT, category=NORMALIZATION)
def skip_group_norm(operation: Operation) -> Lowered:
    """Residual sum and group normalisation."""
    elements = operation.elements(0)
    work = (operation.vector(ELEMENTWISE, elements), operation.vector(NORMALIZATION, elements))
    return Step(LayerKind.VECTOR, vector=work, weights=operation.weights(1, 2, 4))


@rule("BatchNormalization")
def _batch_normalization(call: Call) -> tuple[Info, ...]:
    shape, dtype = call.shape(0), call.dtype(0)
    scale = call.shape(1)
    if len(shape) > 1 and scale != (shape[1],):
        raise ShapeConflictError(f"a scale of {text(scale)} does not fit an input of {text(shape)}")
    statistic = Info(call.dtype(3) if call.has(3) else dtype, scale)
    rest = [Info(statistic.dtype, scale) for _ in range(max(call.output_count - 1, 0))]
    return (Info(dtype, shape), *rest)


@rule("InstanceNormalization", "GroupNormalization", "RMSNormalization")
def _like_input(call: Call) -> tuple[Info]:
    return call.like(0)


@rule("GroupNorm", "SkipGroupNorm", domain=MICROSOFT)
def _contrib_group_norm(call: Call) -> tuple[Info, Info]:
    return Info(call.dtype(0), call.shape(0)), Info(call.dtype(0), call.shape(0))


def _statistics_shape(call: Call) -> tuple[int, ...]:
    shape = call.shape(0)
    axis = call.axis(call.integer("axis", -1), len(shape))
    return (*shape[:axis], *(1,) * (len(shape) - axis))


@rule("LayerNormalization")
def _layer_normalization(call: Call) -> tuple[Info, ...]:
    statistic = ONNX_TYPES.get(call.integer("stash_type", 1), DType.FLOAT32)
    shape, mean = call.shape(0), _statistics_shape(call)
    return Info(call.dtype(0), shape), Info(statistic, mean), Info(statistic, mean)


rule("LayerNormalization", domain=MICROSOFT)(_layer_normalization)


def _simplified(call: Call) -> tuple[Info, ...]:
    return Info(call.dtype(0), call.shape(0)), Info(DType.FLOAT32, _statistics_shape(call))


rule("SimplifiedLayerNormalization", domain="")(_simplified)


rule("SimplifiedLayerNormalization", domain=MICROSOFT)(_simplified)


@rule("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def _skip_layer_normalization(call: Call) -> tuple[Info, ...]:
    shape, dtype = call.shape(0), call.dtype(0)
    statistic = (*shape[:-1], 1)
    return (
        Info(dtype, shape),
        Info(DType.FLOAT32, statistic),
        Info(DType.FLOAT32, statistic),
        Info(dtype, shape),
    )


@rule("QSkipLayerNormalization", domain=MICROSOFT)
def _q_skip_layer_normalization(call: Call) -> tuple[Info]:
    return call.like(0)


@rule("EmbedLayerNormalization", "QEmbedLayerNormalization", domain=MICROSOFT)
def _embed_layer_normalization(call: Call) -> tuple[Info, ...]:
    tokens, table = call.shape(0), call.info(2)
    if len(tokens) != 2 or table.shape is None or len(table.shape) != 2:
        raise ShapeConflictError(f"identifiers of {text(tokens)} do not fit its tables")
    shape = (*tokens, table.shape[1])
    dtype = table.dtype if call.op == "EmbedLayerNormalization" else DType.FLOAT32
    return Info(dtype, shape), Info(DType.INT32, (tokens[0],)), Info(dtype, shape)


@rule("SoftmaxGrad", "BiasSoftmax", "BiasDropout", "QLinearSigmoid", "QLinearLeakyRelu", domain=MICROSOFT)
def _contrib_like(call: Call) -> tuple[Info]:
    return call.like(0)


@rule("BiasAdd", "AddGelu", domain=MICROSOFT)
def _contrib_add(call: Call) -> tuple[Info]:
    return (Info(call.dtype(0), broadcast_inputs(call)),)
