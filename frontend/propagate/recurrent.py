"""Shapes of recurrent operators."""

from __future__ import annotations

from layerweaver.frontend.propagate.call import MICROSOFT, Call, rule
from layerweaver.frontend.propagate.values import Info, ShapeConflictError, text

__all__: list[str] = []

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4, "DynamicQuantizeLSTM": 4}


def _recurrent(call: Call) -> tuple[Info, ...]:
    shape, weight, dtype = call.shape(0), call.shape(1), call.dtype(0)
    quantised = call.op == "DynamicQuantizeLSTM"
    if len(shape) != 3 or len(weight) != 3:
        raise ShapeConflictError(f"an input of {text(shape)} does not fit weights of {text(weight)}")
    depth, rows = (weight[1], weight[2]) if quantised else (weight[2], weight[1])
    hidden = call.integer("hidden_size", 0) or rows // _GATES[call.op]
    directions = 2 if call.text("direction", "forward") == "bidirectional" else 1
    if depth != shape[2] or weight[0] != directions or rows != hidden * _GATES[call.op]:
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


rule("RNN", "GRU", "LSTM", foldable=False)(_recurrent)
rule("DynamicQuantizeLSTM", domain=MICROSOFT, foldable=False)(_recurrent)


@rule("AttnLSTM", domain=MICROSOFT, foldable=False)
def _attention_lstm(call: Call) -> tuple[Info, ...]:
    steps, batch, _ = call.shape(0)
    directions = call.shape(1)[0]
    hidden = call.integer("hidden_size", 0) or call.shape(2)[-1]
    state = (directions, batch, hidden)
    return (
        Info(call.dtype(0), (steps, directions, batch, hidden)),
        Info(call.dtype(0), state),
        Info(call.dtype(0), state),
    )
