"""Signal processing."""

from __future__ import annotations

import math

from layerweaver.frontend.node.registry import MICROSOFT, like_first, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import TRANSCENDENTAL, vector_step


def _dft_shape(call: Call) -> tuple[Info]:
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


def _stft_shape(call: Call) -> tuple[Info]:
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


def _rfft_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    return (Info(call.dtype(0), (*shape[:-1], shape[-1] // 2 + 1, 2)),)


def _irfft_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    return (Info(call.dtype(0), (*shape[:-2], 2 * (shape[-2] - 1))),)


@operator("DFT", shape=_dft_shape, category=TRANSCENDENTAL, roots_from=(0,), foldable=False)
@operator("STFT", shape=_stft_shape, category=TRANSCENDENTAL, roots_from=(0,), foldable=False)
@operator("Rfft", domain=MICROSOFT, shape=_rfft_shape, category=TRANSCENDENTAL, foldable=False)
@operator("Irfft", domain=MICROSOFT, shape=_irfft_shape, category=TRANSCENDENTAL, foldable=False)
def fourier(call: Call) -> Step:
    """Every result takes part in as many passes as the transform has levels: n log n."""
    output = call.output_shape(0, least_rank=2)
    levels = max(1, math.ceil(math.log2(max(2, *output[1:]))))
    elements = max(call.output_elements(), call.elements(0))
    return vector_step(call, TRANSCENDENTAL, elements, window=levels, parameters=(0,))


@operator("RotaryEmbedding", shape=like_first, category=TRANSCENDENTAL, roots_from=(0,))
@operator(
    "RotaryEmbedding",
    "GemmaRotaryEmbedding",
    domain=MICROSOFT,
    shape=like_first,
    category=TRANSCENDENTAL,
    roots_from=(0,),
)
def rotary_embedding(call: Call) -> Step:
    """Rotate pairs by tabulated angles, which are parameters where they are constant."""
    return vector_step(call, TRANSCENDENTAL, call.output_elements(), parameters=(1, 2, 3))
