"""Shapes of operators on images whose channels are stored in blocks (domain com.microsoft.nchwc).

ONNX Runtime writes them when it saves a graph optimised for one processor. Shapes stay logical (N, C, ...);
weights are stored with channels padded to whole blocks, and so are the results of convolutions.
"""

from __future__ import annotations

from layerweaver.frontend.propagate import convolution, image  # the rules that it shares must be there first
from layerweaver.frontend.propagate.call import NCHWC, RULES, Call, rule
from layerweaver.frontend.propagate.convolution import convolved
from layerweaver.frontend.propagate.values import Info, ShapeConflictError, text

__all__ = ["SOURCES"]

SOURCES = (convolution, image)
"""Modules whose rules this domain shares."""

for _name in ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "Upsample"):
    RULES[NCHWC, _name] = RULES["", _name]


@rule("Conv", domain=NCHWC, foldable=False)
def _conv(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0), call.shape(1)
    if len(shape) > 1 and len(weight) > 1:
        padded = weight[1] * call.integer("group", 1)
        shape = (shape[0], max(shape[1], padded), *shape[2:])
    return (Info(call.dtype(0), convolved(call, shape, weight)),)


@rule("ReorderInput", domain=NCHWC)
def _reorder_input(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if len(shape) < 3:
        raise ShapeConflictError(f"{text(shape)} is not an image")
    if call.integer("channels_last", 0):
        shape = (shape[0], shape[-1], *shape[1:-1])
    return (Info(call.dtype(0), shape),)


@rule("ReorderOutput", domain=NCHWC)
def _reorder_output(call: Call) -> tuple[Info]:
    shape, channels = call.shape(0), call.integer("channels", 0)
    if len(shape) < 3 or not 0 < channels <= shape[1]:
        raise ShapeConflictError(f"{channels} channels cannot be taken out of {text(shape)}")
    last = bool(call.integer("channels_last", 0))
    plain = (shape[0], *shape[2:], channels) if last else (shape[0], channels, *shape[2:])
    return (Info(call.dtype(0), plain),)
