"""Optimisers of the training preview: elementwise over the parameters."""

from __future__ import annotations

from layerweaver.frontend.operation import Operation, Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, vector_step
from layerweaver.frontend.registry import lowers


@lowers("Adam", "Adagrad", "Momentum", "Gradient", domain="ai.onnx.preview.training", category=ELEMENTWISE)
def optimizer(operation: Operation) -> Step:
    """A few passes over every updated tensor."""
    elements = sum(operation.output_elements(index) for index in range(len(operation.node.outputs)))
    return vector_step(operation, ELEMENTWISE, elements, window=4)
