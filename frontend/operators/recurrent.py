"""Recurrent layers: LSTM, GRU and RNN in both directions and both layouts."""

from __future__ import annotations

from dataclasses import replace

from layerweaver.frontend.node.registry import MICROSOFT, RECURRENT, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step, WeightRead
from layerweaver.frontend.operators.products import inner_step
from layerweaver.ir import BatchAxis, LayerKind, MatrixWork, VectorCategory
from layerweaver.ir.text import counted

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


def _recurrent_shape(call: Call) -> tuple[Info, ...]:
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


@operator("LSTM", "GRU", "RNN", shape=_recurrent_shape, treatment=RECURRENT)
def recurrent(call: Call) -> Step:
    """Per step and direction one product of (batch) x (input + hidden) by (gates x hidden)."""
    directions, rows, size = call.shape(1, least_rank=3)[:3]
    hidden = call.shape(2, least_rank=3)[2]
    if rows != _GATES[call.op] * hidden:
        raise ShapeConflictError(
            f"the weights have {counted(rows, 'row')} for a hidden size of {hidden}",
            accepted=f"{_GATES[call.op]} gates of the hidden size",
        )
    return _recurrent(call, directions, hidden, size, call.weights(1, 2, 3, 7))


@operator("DynamicQuantizeLSTM", domain=MICROSOFT, shape=_recurrent_shape, treatment=RECURRENT)
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


@operator("AttnLSTM", domain=MICROSOFT, shape=_attention_lstm_shape, treatment=RECURRENT)
def attentive_lstm(call: Call) -> tuple[Step, ...]:
    """An LSTM whose input of every step holds what it attended to in a memory before.

    Once the keys, a product of the memory by its layer's weights; per step the gates, the query's product,
    one sum of products per key and direction, the context, and the product that makes it the attention.
    """
    steps, batch = call.shape(0, least_rank=3)[:2]
    directions, rows, size = call.shape(1, least_rank=3)[:3]
    hidden = call.shape(2, least_rank=3)[2]
    axis = axis_for(call.batched)
    cell = MatrixWork(directions, batch, rows, size + hidden, call.constant(1), steps, axis)
    gates = call.vector(VectorCategory.TRANSCENDENTAL, directions * steps * batch * (rows + hidden))
    recurrent_step = Step(
        LayerKind.RECURRENT, matrix=cell, vector=(gates,), weights=call.weights(1, 2, 3, 7), suffix="cell"
    )
    if not call.has(11):
        return (replace(recurrent_step, suffix=""),)
    length, depth = call.shape(11, least_rank=3)[1:3]
    width = call.shape(9, least_rank=3)[2]
    keys, aligned, context = (f"{call.key}:{part}" for part in ("keys", "aligned", "context"))
    sequences = directions * batch

    def part(
        suffix: str, reads: tuple[str, ...], extents: tuple[int, int, int], weight: int, trips: int
    ) -> Step:
        """A product for all sequences by shared weights, or (weight 0) of each sequence by its own."""
        groups = directions if weight else sequences
        held = bool(weight) and call.constant(weight)
        over = axis if weight else axis_for(call.batched, BatchAxis.GROUPS)
        work = MatrixWork(groups, *extents, held, trips, over)
        return inner_step(call, suffix, work, reads=reads, parameters=call.weights(weight) if weight else ())

    memory = call.input_names(11)
    score = part("aligned", (f"{call.key}:query", keys), (1, length, width), 0, steps)
    softmax = call.vector(VectorCategory.SOFTMAX, sequences * steps * length)
    added = call.vector(VectorCategory.TRANSCENDENTAL, sequences * steps * length * width)
    attended = [
        part("keys", memory, (batch * length, width, depth), 9, 1),
        part("query", call.input_names(5), (batch, width, hidden), 8, steps),
        replace(score, vector=(added, softmax), weights=call.weights(10)),
        part("context", (aligned, *memory), (1, depth, length), 0, steps),
    ]
    last = context
    if call.has(13):
        wide = call.shape(13, least_rank=3)[2]
        attended.append(part("attention", (context,), (batch, wide, depth + hidden), 13, steps))
        last = f"{call.key}:attention"
    return (*attended, replace(recurrent_step, reads=(*call.input_names(0, 5, 6), last)))
