"""Activation functions."""

from __future__ import annotations

from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import MICROSOFT, lowers
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.ir import VectorCategory

SOFTMAX = VectorCategory.SOFTMAX


@lowers("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "HardSigmoid", category=ELEMENTWISE)
@lowers("HardSwish", "Shrink", category=ELEMENTWISE)
def piecewise_linear(operation: Operation) -> Step:
    """Activations of comparisons, products and sums; slopes are parameters."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements())


@lowers("Sigmoid", "Tanh", "Softplus", "Softsign", "Elu", "Celu", "Selu", "Gelu", category=TRANSCENDENTAL)
@lowers("Mish", "Swish", category=TRANSCENDENTAL)
@lowers("Gelu", "QuickGelu", domain=MICROSOFT, category=TRANSCENDENTAL)
def smooth(operation: Operation) -> Step:
    """Activations with an exponential inside."""
    return vector_step(operation, TRANSCENDENTAL, operation.output_elements())


@lowers("SwiGLU", category=TRANSCENDENTAL)
def gated(operation: Operation) -> Step:
    """Swish of the gate times the value."""
    return vector_step(operation, TRANSCENDENTAL, operation.output_elements())


@lowers("BiasGelu", "FastGelu", domain=MICROSOFT, category=TRANSCENDENTAL)
@lowers("BiasSplitGelu", domain=MICROSOFT, category=TRANSCENDENTAL)
def bias_gelu(operation: Operation) -> Step:
    """GELU of the sum with a bias, which is a parameter."""
    work = operation.vector(TRANSCENDENTAL, operation.output_elements())
    step = vector_step(operation, TRANSCENDENTAL, work.elements)
    return Step(step.kind, vector=(work,), weights=operation.weights(1))


@lowers("Softmax", "LogSoftmax", "Hardmax", category=SOFTMAX)
def softmax(operation: Operation) -> Step:
    """Normalised exponentials over the input's elements."""
    return vector_step(operation, SOFTMAX, operation.elements(0))


@lowers("SoftmaxCrossEntropyLoss", category=SOFTMAX)
def cross_entropy(operation: Operation) -> Step:
    """Softmax and the loss of its labels."""
    return vector_step(operation, SOFTMAX, operation.elements(0), parameters=(2,))


@lowers("BiasSoftmax", domain=MICROSOFT, category=SOFTMAX)
def bias_softmax(operation: Operation) -> Step:
    """Softmax of the sum with a mask."""
    elements = operation.elements(0)
    step = vector_step(operation, SOFTMAX, elements)
    return Step(
        step.kind, vector=(operation.vector(ELEMENTWISE, elements), *step.vector), weights=step.weights
    )
