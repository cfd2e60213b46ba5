"""Depthwise convolutions over what came before, with a state that is carried from call to call."""

from __future__ import annotations

import math

from layerweaver.frontend.node.registry import MATRIX, MICROSOFT, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step
from layerweaver.ir import ConvGeometry, LayerKind, MatrixWork, VectorCategory


def _depthwise(call: Call, pixels: tuple[int, ...], batch: int) -> Step:
    """Every channel is its own group over ``pixels``; results of a causal convolution are as its input."""
    channels, _, *kernel = call.shape(1, least_rank=3)
    ones = (1,) * len(kernel)
    work = MatrixWork(
        groups=channels,
        m=batch * math.prod(pixels),
        n=1,
        k=math.prod(kernel),
        weights=call.constant(1),
        batch_axis=axis_for(call.batched),
        conv=ConvGeometry(
            tuple(kernel), ones, (*ones[1:], max(1, call.integer("dilation", 1))), pixels, pixels, 1, 1
        ),
    )
    activation = call.vector(VectorCategory.TRANSCENDENTAL, call.output_elements())
    fused = call.text("activation", "none") != "none"
    bias = 3 if call.op.startswith("Varlen") else 2
    return Step(
        LayerKind.MATRIX,
        matrix=work,
        weights=call.weights(1, bias),
        vector=(activation,) if fused else (),
    )


def _history(call: Call) -> int:
    """Positions that the state holds: those that the kernel reaches back to, unless stated."""
    reach = (call.shape(1, least_rank=3)[-1] - 1) * max(1, call.integer("dilation", 1))
    return call.integer("state_length", 0) or reach


def _image(call: Call) -> tuple[int, int, tuple[int, ...]]:
    """Batch, channels of the input and its extents; with channels last there is one extent, the sequence."""
    shape = call.shape(0, least_rank=3)
    if call.integer("channels_last", 0):
        return shape[0], math.prod(shape[2:]), shape[1:2]
    return shape[0], shape[1], shape[2:]


def _stateful_shape(call: Call) -> tuple[Info, ...]:
    shape, weight, dtype = call.shape(0, least_rank=3), call.shape(1, least_rank=3), call.dtype(0)
    batch, channels, extents = _image(call)
    last, chosen = bool(call.integer("channels_last", 0)), call.integer("input_channels", 0)
    fits = chosen == weight[0] <= channels if chosen else channels == weight[0]
    if not fits or len(extents) != len(weight) - 2:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    wide = (chosen,) if chosen else shape[2:] if last else (weight[0],)
    layout = call.integer("state_channels_last", -1)
    state_last = last if layout < 0 else layout == 1
    state: tuple[int, ...] = (*wide, *extents[:-1], _history(call))
    if state_last:
        state = (_history(call), *wide)
    window = call.integer("state_window", 0)
    return (
        Info(dtype, (*shape[:2], *wide) if last else shape),
        Info(dtype, (*((window,) if window > 0 else ()), batch, *state)),
        Info(dtype, (batch, call.integer("state_update_capacity", 0), weight[0])),
    )


@operator("CausalConvWithState", shape=_stateful_shape, treatment=MATRIX)
@operator("CausalConvWithState", domain=MICROSOFT, shape=_stateful_shape, treatment=MATRIX)
def stateful(call: Call) -> Step:
    """Depthwise convolution over time: every channel is its own group."""
    batch, _, extents = _image(call)
    return _depthwise(call, extents, batch)


def _packed_shape(call: Call) -> tuple[Info, ...]:
    shape, weight, dtype = call.shape(0, least_rank=2), call.shape(1, least_rank=3), call.dtype(0)
    if shape[1] != weight[0]:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    state = call.shape(4, least_rank=3)
    update = (state[0], call.integer("state_update_capacity", 0), shape[1])
    return Info(dtype, shape), Info(call.dtype(4), state), Info(dtype, update)


@operator("VarlenCausalConvWithState", domain=MICROSOFT, shape=_packed_shape, treatment=MATRIX)
def packed(call: Call) -> Step:
    """Depthwise convolution over packed tokens: every channel is its own group."""
    return _depthwise(call, call.shape(0, least_rank=2)[:1], 1)
