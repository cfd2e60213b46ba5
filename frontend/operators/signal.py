"""Signal processing."""

from __future__ import annotations

import math

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import MICROSOFT, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import TRANSCENDENTAL, vector_step


@lowers("DFT", "STFT", category=TRANSCENDENTAL)
@lowers("Rfft", "Irfft", domain=MICROSOFT, category=TRANSCENDENTAL)
def fourier(operation: Operation) -> Step:
    """Every result takes part in as many passes as the transform has levels: n log n."""
    output = operation.output_shape(0, least_rank=2)
    levels = max(1, math.ceil(math.log2(max(2, *output[1:]))))
    elements = max(operation.output_elements(), operation.elements(0))
    return vector_step(operation, TRANSCENDENTAL, elements, window=levels, parameters=(0,))


@lowers("RotaryEmbedding", category=TRANSCENDENTAL)
@lowers("RotaryEmbedding", "GemmaRotaryEmbedding", domain=MICROSOFT, category=TRANSCENDENTAL)
def rotary_embedding(operation: Operation) -> Step:
    """Rotate pairs by tabulated angles, which are parameters where they are constant."""
    step = vector_step(operation, TRANSCENDENTAL, operation.output_elements(), parameters=(1, 2, 3))
    return Step(step.kind, vector=step.vector, weights=step.weights)


@rule("DFT", roots_from=(0,), foldable=False)
def _dft(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    place = call.integer("axis", 1 if call.opset < 20 else -2)
    if call.has(2):
        place = call.integers(2)[0]
    axis = call.axis(place, len(shape))
    if len(shape) < 2 or axis == len(shape) - 1:
        raise ShapeConflictError(f"axis {place} of {text(shape)} cannot be transformed")
    one_sided, inverse = call.integer("onesided", 0), call.integer("inverse", 0)
    length = shape[axis]
    if call.has(1):
        length = call.integers(1)[0]
    elif one_sided and inverse:
        length = 2 * (shape[axis] - 1)
    if one_sided and not inverse:
        length = length // 2 + 1
    parts = 1 if one_sided and inverse else 2
    result = (*shape[:axis], length, *shape[axis + 1 : -1], parts)
    return (Info(call.dtype(0), result),)


@rule("STFT", roots_from=(0,), foldable=False)
def _stft(call: Call) -> tuple[Info]:
    shape, step = call.shape(0), call.integers(1)[0]
    if call.has(3):
        length = call.integers(3)[0]
    elif call.has(2):
        length = call.shape(2)[0]
    else:
        raise ShapeConflictError("it has neither a window nor a frame length")
    if len(shape) < 2 or step < 1 or length < 1 or shape[1] < length:
        raise ShapeConflictError(f"frames of {length} every {step} do not fit a signal of {text(shape)}")
    frames = (shape[1] - length) // step + 1
    bins = length // 2 + 1 if call.integer("onesided", 1) else length
    return (Info(call.dtype(0), (shape[0], frames, bins, 2)),)


@rule("Rfft", domain=MICROSOFT, foldable=False)
def _rfft(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    return (Info(call.dtype(0), (*shape[:-1], shape[-1] // 2 + 1, 2)),)


@rule("Irfft", domain=MICROSOFT, foldable=False)
def _irfft(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    return (Info(call.dtype(0), (*shape[:-2], 2 * (shape[-2] - 1))),)


@rule("ComplexMul", "ComplexMulConj", domain=MICROSOFT)
def _complex_mul(call: Call) -> tuple[Info]:
    return call.like(0)
