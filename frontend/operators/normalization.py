"""Normalisations."""

from __future__ import annotations

from layerweaver.frontend.operation import Lowered, Operation, Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, vector_step
from layerweaver.frontend.registry import MICROSOFT, lowers
from layerweaver.ir import LayerKind, VectorCategory

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
