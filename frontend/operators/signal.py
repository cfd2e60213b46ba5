"""Signal processing."""

from __future__ import annotations

import math

from layerweaver.frontend.operation import Operation, Step
from layerweaver.frontend.operators.elementwise import TRANSCENDENTAL, vector_step
from layerweaver.frontend.registry import MICROSOFT, lowers


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
