"""Normalisations."""

from __future__ import annotations

from layerweaver.frontend.node.registry import GATHER, MICROSOFT, like_first, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import GatherRead, Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, unary_shape, vector_step
from layerweaver.frontend.operators.movement import MOVE
from layerweaver.frontend.reader.tensor import ONNX_TYPES
from layerweaver.ir import DType, LayerKind, VectorCategory


def _embedded_shape(call: Call) -> tuple[Info, ...]:
    tokens, table = call.shape(0), call.info(2)
    if len(tokens) != 2 or table.shape is None or len(table.shape) != 2:
        raise ShapeConflictError(f"identifiers of {text(tokens)} do not fit its tables")
    shape = (*tokens, table.shape[1])
    dtype = table.dtype if call.op == "EmbedLayerNormalization" else DType.FLOAT32
    return Info(dtype, shape), Info(DType.INT32, (tokens[0],)), Info(dtype, shape)


@operator(
    "EmbedLayerNormalization",
    "QEmbedLayerNormalization",
    domain=MICROSOFT,
    shape=_embedded_shape,
    treatment=GATHER,
)
def embed_layer_normalization(call: Call) -> Step:
    """Word, position and segment embeddings, their sum and its normalisation."""
    batch, tokens, width = call.output_shape(0, least_rank=3)[:3]
    rows = batch * tokens * width
    gathers = [GatherRead(call.info(2).name, rows, call.batched)]
    gathers.append(GatherRead(call.info(3).name, tokens * width, False))
    if call.constant(4):
        gathers.append(GatherRead(call.info(4).name, rows, call.batched))
    return Step(
        LayerKind.GATHER,
        vector=(
            call.vector(MOVE, rows),
            call.vector(VectorCategory.ELEMENTWISE, rows, window=2),
            call.vector(VectorCategory.NORMALIZATION, rows),
        ),
        gathers=tuple(gathers),
        weights=call.weights(5, 6),
    )


def _batch_normalization_shape(call: Call) -> tuple[Info, ...]:
    shape, dtype = call.shape(0), call.dtype(0)
    scale = call.shape(1)
    if len(shape) > 1 and scale != (shape[1],):
        raise ShapeConflictError(f"a scale of {text(scale)} does not fit an input of {text(shape)}")
    statistic = Info(call.dtype(3) if call.has(3) else dtype, scale)
    rest = [Info(statistic.dtype, scale) for _ in range(max(call.output_count - 1, 0))]
    return (Info(dtype, shape), *rest)


@operator("BatchNormalization", shape=_batch_normalization_shape, category=ELEMENTWISE)
def batch_normalization(call: Call) -> Step:
    """One multiplication and addition per element.

    Mean and variance fold into scale and bias before anything runs, so that per channel two parameters
    remain: the mean and the variance are statistics and not counted.
    """
    work = call.vector(ELEMENTWISE, call.output_elements())
    return Step(LayerKind.VECTOR, vector=(work,), weights=call.weights(1, 2))


NORMALIZATION = VectorCategory.NORMALIZATION


def _statistics_shape(call: Call) -> tuple[int, ...]:
    shape = call.shape(0)
    axis = call.axis(call.integer("axis", -1), len(shape))
    return (*shape[:axis], *(1,) * (len(shape) - axis))


def _layer_normalization_shape(call: Call) -> tuple[Info, ...]:
    statistic = ONNX_TYPES.get(call.integer("stash_type", 1), DType.FLOAT32)
    shape, mean = call.shape(0), _statistics_shape(call)
    return Info(call.dtype(0), shape), Info(statistic, mean), Info(statistic, mean)


def _simplified_shape(call: Call) -> tuple[Info, ...]:
    return Info(call.dtype(0), call.shape(0)), Info(DType.FLOAT32, _statistics_shape(call))


def like_first_twice(call: Call) -> tuple[Info, Info]:
    """Shape rule of operators with two outputs of the type and shape of the first input."""
    return Info(call.dtype(0), call.shape(0)), Info(call.dtype(0), call.shape(0))


@operator("LayerNormalization", shape=_layer_normalization_shape, category=NORMALIZATION)
@operator("RMSNormalization", "GroupNormalization", shape=like_first, category=NORMALIZATION)
@operator("InstanceNormalization", shape=like_first, category=NORMALIZATION)
@operator("MeanVarianceNormalization", "LpNormalization", shape=unary_shape, category=NORMALIZATION)
@operator("SimplifiedLayerNormalization", shape=_simplified_shape, category=NORMALIZATION)
@operator("SimplifiedLayerNormalization", domain=MICROSOFT, shape=_simplified_shape, category=NORMALIZATION)
@operator("GroupNorm", domain=MICROSOFT, shape=like_first_twice, category=NORMALIZATION)
def normalization(call: Call) -> Step:
    """Statistics over the input, then scale and bias, which are parameters."""
    work = call.vector(NORMALIZATION, call.elements(0))
    return Step(LayerKind.VECTOR, vector=(work,), weights=call.weights(1, 2))


@operator("LRN", shape=unary_shape, category=NORMALIZATION)
def local_response(call: Call) -> Step:
    """A window of squares over the channels."""
    window = max(1, call.integer("size", 1))
    return vector_step(call, NORMALIZATION, call.output_elements(), window=window, parameters=())


def _skip_shape(call: Call) -> tuple[Info, ...]:
    shape, dtype = call.shape(0), call.dtype(0)
    statistic = (*shape[:-1], 1)
    return (
        Info(dtype, shape),
        Info(DType.FLOAT32, statistic),
        Info(DType.FLOAT32, statistic),
        Info(dtype, shape),
    )


@operator(
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    domain=MICROSOFT,
    shape=_skip_shape,
    category=NORMALIZATION,
)
@operator("SkipGroupNorm", domain=MICROSOFT, shape=like_first_twice, category=NORMALIZATION)
def skip_normalization(call: Call) -> Step:
    """Residual sum, optional bias, then the normalisation."""
    elements = call.elements(0)
    work = (call.vector(ELEMENTWISE, elements), call.vector(NORMALIZATION, elements))
    parameters = call.weights(1, 2, 4) if call.op == "SkipGroupNorm" else call.weights(2, 3, 4)
    return Step(LayerKind.VECTOR, vector=work, weights=parameters)
