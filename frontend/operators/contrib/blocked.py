"""Operators of the blocked layout that ONNX Runtime gives convolutional networks."""

from __future__ import annotations

from layerweaver.frontend.node.registry import MATRIX, NCHWC, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.contrib.fused import fused_conv
from layerweaver.frontend.operators.convolution import convolved
from layerweaver.frontend.operators.movement import MOVE, move_step


def _reorder_input_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    if len(shape) < 3:
        raise ShapeConflictError(f"{text(shape)} is not an image")
    if call.integer("channels_last", 0):
        shape = (shape[0], shape[-1], *shape[1:-1])
    return (Info(call.dtype(0), shape),)


def _reorder_output_shape(call: Call) -> tuple[Info]:
    shape, channels = call.shape(0), call.integer("channels", 0)
    if len(shape) < 3 or not 0 < channels <= shape[1]:
        raise ShapeConflictError(f"{channels} channels cannot be taken out of {text(shape)}")
    last = bool(call.integer("channels_last", 0))
    plain = (shape[0], *shape[2:], channels) if last else (shape[0], channels, *shape[2:])
    return (Info(call.dtype(0), plain),)


@operator("ReorderInput", domain=NCHWC, shape=_reorder_input_shape, category=MOVE)
@operator("ReorderOutput", domain=NCHWC, shape=_reorder_output_shape, category=MOVE)
def reorder(call: Call) -> Step:
    """Channels are gathered into blocks, or taken out of them."""
    return move_step(call, call.output_elements(), ())


def _blocked_conv_shape(call: Call) -> tuple[Info]:
    shape, weight = call.shape(0), call.shape(1)
    if len(shape) > 1 and len(weight) > 1:
        padded = weight[1] * call.integer("group", 1)
        shape = (shape[0], max(shape[1], padded), *shape[2:])
    return (Info(call.dtype(0), convolved(call, shape, weight)),)


operator("Conv", domain=NCHWC, shape=_blocked_conv_shape, treatment=MATRIX)(fused_conv)
