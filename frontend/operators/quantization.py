"""Conversion between real and quantised numbers."""

from __future__ import annotations

from layerweaver.frontend.operation import Operation, Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, vector_step
from layerweaver.frontend.registry import MICROSOFT, lowers
from layerweaver.ir import LayerKind, VectorCategory


@lowers("QuantizeLinear", "DequantizeLinear", category=ELEMENTWISE)
@lowers("QuantizeLinear", "DequantizeLinear", domain=MICROSOFT, category=ELEMENTWISE)
def convert(operation: Operation) -> Step:
    """One pass; scales and zero points per channel are parameters, single ones are not."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements())


@lowers("DynamicQuantizeLinear", category=ELEMENTWISE)
def dynamic_quantize(operation: Operation) -> Step:
    """Find the range, then convert."""
    elements = operation.elements(0)
    return Step(
        LayerKind.VECTOR,
        vector=(
            operation.vector(VectorCategory.REDUCTION, elements),
            operation.vector(ELEMENTWISE, elements),
        ),
    )
