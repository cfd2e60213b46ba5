"""Pooling."""

from __future__ import annotations

import math

from layerweaver.frontend.operation import Operation, Step
from layerweaver.frontend.operators.elementwise import vector_step
from layerweaver.frontend.registry import MICROSOFT, NCHWC, lowers
from layerweaver.ir import LayerKind, VectorCategory

POOLING = VectorCategory.POOLING
REDUCTION = VectorCategory.REDUCTION


@lowers("MaxPool", "AveragePool", "LpPool", category=POOLING)
@lowers("MaxpoolWithMask", "NhwcMaxPool", domain=MICROSOFT, category=POOLING)
@lowers("MaxPool", "AveragePool", domain=NCHWC, category=POOLING)
def pool(operation: Operation) -> Step:
    """Every output looks at the kernel's window."""
    window = math.prod(operation.integers("kernel_shape", (1,)))
    return vector_step(operation, POOLING, operation.output_elements(), window=max(1, window), parameters=())


@lowers("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", category=REDUCTION)
@lowers("GlobalAveragePool", "GlobalMaxPool", domain=NCHWC, category=REDUCTION)
def global_pool(operation: Operation) -> Step:
    """Every input element is read once."""
    return vector_step(operation, REDUCTION, operation.elements(0), parameters=())


@lowers("MaxRoiPool", category=POOLING)
def roi_pool(operation: Operation) -> Step:
    """Every region divides the image among its cells: at most one read per input pixel and region."""
    image = operation.shape(0, least_rank=4)
    output = operation.output_shape(0, least_rank=4)
    window = max(1, -(-image[2] * image[3] // max(1, output[2] * output[3])))
    return vector_step(operation, POOLING, operation.output_elements(), window=window, parameters=())


@lowers("RoiAlign", category=POOLING)
def roi_align(operation: Operation) -> Step:
    """Bilinear samples (four reads each) per cell; an adaptive ratio counts as two per axis."""
    samples = (operation.integer("sampling_ratio", 0) or 2) ** 2
    return vector_step(operation, POOLING, operation.output_elements(), window=4 * samples, parameters=())


@lowers("MaxUnpool", treatment="move", category=VectorCategory.MOVE)
def unpool(operation: Operation) -> Step:
    """Values go back to where they came from."""
    return vector_step(
        operation,
        VectorCategory.MOVE,
        operation.output_elements(),
        kind=LayerKind.MOVE,
        parameters=(),
    )
