"""Activation functions."""

from __future__ import annotations

from dataclasses import replace

from layerweaver.frontend.node.registry import MICROSOFT, like_first, operator
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import (
    ELEMENTWISE,
    TRANSCENDENTAL,
    broadcast_inputs,
    unary_shape,
    vector_step,
)
from layerweaver.ir import LayerKind, VectorCategory


@operator("Relu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", shape=unary_shape, category=ELEMENTWISE)
@operator("HardSwish", "Shrink", shape=unary_shape, category=ELEMENTWISE)
@operator("PRelu", shape=like_first, category=ELEMENTWISE)
def piecewise_linear(call: Call) -> Step:
    """Activations of comparisons, products and sums; slopes are parameters."""
    return vector_step(call, ELEMENTWISE, call.output_elements())


def contrib_activation_shape(call: Call) -> tuple[Info]:
    """Shape of an activation of one operand, of half its width where it splits it."""
    shape = call.shape(0)
    if call.op == "BiasSplitGelu":
        shape = (*shape[:-1], shape[-1] // 2)
    return (Info(call.dtype(0), shape),)


@operator("Sigmoid", "Tanh", "Softplus", "Softsign", "Elu", shape=unary_shape, category=TRANSCENDENTAL)
@operator("Celu", "Selu", "Gelu", shape=unary_shape, category=TRANSCENDENTAL)
@operator("Mish", "Swish", shape=unary_shape, category=TRANSCENDENTAL)
@operator("Gelu", "QuickGelu", domain=MICROSOFT, shape=contrib_activation_shape, category=TRANSCENDENTAL)
def smooth(call: Call) -> Step:
    """Activations with an exponential inside."""
    return vector_step(call, TRANSCENDENTAL, call.output_elements())


def swiglu_shape(call: Call) -> tuple[Info]:
    """Shape rule of a gated activation: the halves are two inputs, or one along an axis."""
    shape = call.shape(0)
    if call.has(1):
        return (Info(call.dtype(0), broadcast_inputs(call)),)
    axis = call.axis(call.integer("axis", -1), len(shape))
    return (Info(call.dtype(0), (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])),)


@operator("SwiGLU", shape=swiglu_shape, category=TRANSCENDENTAL)
def gated(call: Call) -> Step:
    """Swish of the gate times the value."""
    return vector_step(call, TRANSCENDENTAL, call.output_elements())


@operator(
    "BiasGelu",
    "FastGelu",
    "BiasSplitGelu",
    domain=MICROSOFT,
    shape=contrib_activation_shape,
    category=TRANSCENDENTAL,
)
def bias_gelu(call: Call) -> Step:
    """GELU of the sum with a bias, which is a parameter."""
    work = call.vector(TRANSCENDENTAL, call.output_elements())
    return Step(LayerKind.VECTOR, vector=(work,), weights=call.weights(1))


SOFTMAX = VectorCategory.SOFTMAX


@operator("Softmax", "LogSoftmax", "Hardmax", shape=unary_shape, category=SOFTMAX)
def softmax(call: Call) -> Step:
    """Normalised exponentials over the input's elements."""
    return vector_step(call, SOFTMAX, call.elements(0))


@operator("BiasSoftmax", domain=MICROSOFT, shape=like_first, category=SOFTMAX)
def bias_softmax(call: Call) -> Step:
    """Softmax of the sum with a mask."""
    step = softmax(call)
    return replace(step, vector=(call.vector(ELEMENTWISE, call.elements(0)), *step.vector))
