"""The shipped operators, one file per topic: how their shapes follow and which work they are.

Importing this package registers them all.
"""

from layerweaver.frontend.operators import (
    activation,
    attention,
    constants,
    control,
    convolution,
    einsum,
    elementwise,
    image,
    indexing,
    machine_learning,
    microsoft,
    microsoft_attention,
    movement,
    normalization,
    pooling,
    products,
    quantized,
    recurrent,
    reduction,
    sequences,
    signal,
    views,
)

__all__ = [
    "activation",
    "attention",
    "constants",
    "control",
    "convolution",
    "einsum",
    "elementwise",
    "image",
    "indexing",
    "machine_learning",
    "microsoft",
    "microsoft_attention",
    "movement",
    "normalization",
    "pooling",
    "products",
    "quantized",
    "recurrent",
    "reduction",
    "sequences",
    "signal",
    "views",
]

microsoft.repeat_rules()
