"""Recurrent layers: LSTM, GRU and RNN in both directions and both layouts."""

from __future__ import annotations

from layerweaver.frontend.node.registry import MICROSOFT, Treatment, operator, shape_only
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step, WeightRead
from layerweaver.ir import LayerKind, MatrixWork, VectorCategory

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1, "DynamicQuantizeLSTM": 4}


def _recurrent(
    call: Call, directions: int, hidden: int, size: int, parameters: tuple[WeightRead, ...]
) -> Step:
    gates = _GATES[call.op]
    sequence = call.shape(0, least_rank=3)
    steps, batch = sequence[0], sequence[1]
    if call.integer("layout", 0) == 1:
        steps, batch = batch, steps
    work = MatrixWork(
        groups=directions,
        m=batch,
        n=gates * hidden,
        k=size + hidden,
        weights=call.constant(1) or call.constant(2),
        steps=steps,
        batch_axis=axis_for(call.batched),
    )
    activation = call.vector(VectorCategory.TRANSCENDENTAL, directions * steps * batch * (gates + 1) * hidden)
    return Step(LayerKind.RECURRENT, matrix=work, vector=(activation,), weights=parameters)


_GATES_shape = {"RNN": 1, "GRU": 3, "LSTM": 4, "DynamicQuantizeLSTM": 4}


def _recurrent_shape(call: Call) -> tuple[Info, ...]:
    shape, weight, dtype = call.shape(0), call.shape(1), call.dtype(0)
    quantised = call.op == "DynamicQuantizeLSTM"
    if len(shape) != 3 or len(weight) != 3:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    depth, rows = (weight[1], weight[2]) if quantised else (weight[2], weight[1])
    hidden = call.integer("hidden_size", 0) or rows // _GATES_shape[call.op]
    directions = 2 if call.text("direction", "forward") == "bidirectional" else 1
    if depth != shape[2] or weight[0] != directions or rows != hidden * _GATES_shape[call.op]:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    if call.integer("layout", 0):
        batch, steps, _ = shape
        sequence = (batch, steps, directions, hidden)
        state: tuple[int, ...] = (batch, directions, hidden)
    else:
        steps, batch, _ = shape
        sequence = (steps, directions, batch, hidden)
        state = (directions, batch, hidden)
    return Info(dtype, sequence), Info(dtype, state), Info(dtype, state)


@operator("LSTM", "GRU", "RNN", shape=_recurrent_shape, treatment=Treatment.RECURRENT)
def recurrent(call: Call) -> Step:
    """Per step and direction one product of (batch) x (input + hidden) by (gates x hidden)."""
    directions, rows, size = call.shape(1, least_rank=3)[:3]
    hidden = call.shape(2, least_rank=3)[2]
    if rows != _GATES[call.op] * hidden:
        raise ShapeConflictError(
            f"the weights have {rows} rows for a hidden size of {hidden}",
            accepted=f"{_GATES[call.op]} gates of the hidden size",
        )
    return _recurrent(call, directions, hidden, size, call.weights(1, 2, 3, 7))


@operator("DynamicQuantizeLSTM", domain=MICROSOFT, shape=_recurrent_shape, treatment=Treatment.RECURRENT)
def quantized_lstm(call: Call) -> Step:
    """LSTM with 8-bit weights, stored transposed: (directions, input, gates x hidden)."""
    directions, size, rows = call.shape(1, least_rank=3)[:3]
    parameters = call.weights(1, 2, 3, 7) + call.weights(8, 9, 10, 11, role="vector")
    return _recurrent(call, directions, rows // 4, size, parameters)


def _attention_lstm_shape(call: Call) -> tuple[Info, ...]:
    steps, batch, _ = call.shape(0)
    directions = call.shape(1)[0]
    hidden = call.integer("hidden_size", 0) or call.shape(2)[-1]
    state = (directions, batch, hidden)
    return (
        Info(call.dtype(0), (steps, directions, batch, hidden)),
        Info(call.dtype(0), state),
        Info(call.dtype(0), state),
    )


shape_only("AttnLSTM", shape=_attention_lstm_shape, domain=MICROSOFT, foldable=False)
