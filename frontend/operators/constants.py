"""Constants and shapes: free."""

from __future__ import annotations

from layerweaver.frontend.operation import FREE, Free, Lowered, Operation
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, TRANSCENDENTAL, vector_step
from layerweaver.frontend.operators.movement import move_step
from layerweaver.frontend.registry import Treatment, lowers


@lowers("Constant", "Shape", "Size", "SequenceLength", "SequenceEmpty", treatment=Treatment.CONSTANT)
@lowers("OptionalHasElement", treatment=Treatment.CONSTANT)
def free(_operation: Operation) -> Free:
    """Known before anything runs, or read off a descriptor."""
    return FREE


@lowers("ConstantOfShape", "EyeLike", "Range", treatment=Treatment.CONSTANT)
def filled(operation: Operation) -> Lowered:
    """Free where everything is known beforehand; else the values are written by a move."""
    return move_step(operation, operation.output_elements(), ())


@lowers("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", category=ELEMENTWISE)
@lowers("Bernoulli", "Multinomial", category=ELEMENTWISE)
def random(operation: Operation) -> Lowered:
    """One pass over the results."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), parameters=())


@lowers("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix", category=TRANSCENDENTAL)
def window(operation: Operation) -> Lowered:
    """One pass of a special function over the results."""
    return vector_step(operation, TRANSCENDENTAL, operation.output_elements(), parameters=())
