"""Recurrent layers: LSTM, GRU and RNN in both directions and both layouts."""

from __future__ import annotations

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation, axis_for
from layerweaver.frontend.node.registry import MICROSOFT, Treatment, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.work import Step, WeightRead
from layerweaver.ir import BatchAxis, LayerKind, MatrixWork, VectorCategory

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1, "DynamicQuantizeLSTM": 4}


def _recurrent(
    operation: Operation, directions: int, hidden: int, size: int, parameters: tuple[WeightRead, ...]
) -> Step:
    gates = _GATES[operation.operator]
    sequence = operation.shape(0, least_rank=3)
    steps, batch = sequence[0], sequence[1]
    if operation.integer("layout", 0) == 1:
        steps, batch = batch, steps
    work = MatrixWork(
        groups=directions,
        m=batch,
        n=gates * hidden,
        k=size + hidden,
        weights=operation.constant(1) or operation.constant(2),
        steps=steps,
        batch_axis=axis_for(operation.batched),
    )
    activation = operation.vector(
        VectorCategory.TRANSCENDENTAL, directions * steps * batch * (gates + 1) * hidden
    )
    return Step(LayerKind.RECURRENT, matrix=work, vector=(activation,), weights=parameters)


@lowers("LSTM", "GRU", "RNN", treatment=Treatment.RECURRENT)
def recurrent(operation: Operation) -> Step:
    """Per step and direction one product of (batch) x (input + hidden) by (gates x hidden)."""
    directions, rows, size = operation.shape(1, least_rank=3)[:3]
    hidden = operation.shape(2, least_rank=3)[2]
    if rows != _GATES[operation.operator] * hidden:
        raise operation.error(
            f"the weights have {rows} rows for a hidden size of {hidden}",
            accepted=f"{_GATES[operation.operator]} gates of the hidden size",
        )
    return _recurrent(operation, directions, hidden, size, operation.weights(1, 2, 3, 7))


@lowers("DynamicQuantizeLSTM", domain=MICROSOFT, treatment=Treatment.RECURRENT)
def quantized_lstm(operation: Operation) -> Step:
    """LSTM with 8-bit weights, stored transposed: (directions, input, gates x hidden)."""
    directions, size, rows = operation.shape(1, least_rank=3)[:3]
    parameters = operation.weights(1, 2, 3, 7) + operation.weights(8, 9, 10, 11, role="vector")
    return _recurrent(operation, directions, rows // 4, size, parameters)


@lowers("LinearAttention", treatment=Treatment.RECURRENT)
def linear_attention(operation: Operation) -> Step:
    """A matrix-valued state per head: read, updated and queried at every token.

    Counted per token and query head: one product with the state for the output, one outer product per key
    and value head for the update (and one more read of the state for the delta rules).
    """
    batch, tokens, width = operation.shape(0, least_rank=3)[:3]
    heads = max(1, operation.integer("q_num_heads", 1))
    kv_heads = max(1, operation.integer("kv_num_heads", heads))
    size = width // heads
    value_size = operation.shape(2, least_rank=3)[2] // kv_heads
    updates = 2 if operation.text("update_rule", "gated_delta").endswith("delta") else 1
    work = MatrixWork(
        groups=batch * (heads + updates * kv_heads),
        m=1,
        n=value_size,
        k=size,
        weights=False,
        steps=tokens,
        batch_axis=axis_for(operation.batched, BatchAxis.GROUPS),
    )
    decay = operation.vector(VectorCategory.TRANSCENDENTAL, batch * tokens * kv_heads * size)
    return Step(LayerKind.RECURRENT, matrix=work, vector=(decay,))


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


rule("RNN", "GRU", "LSTM", foldable=False)(_recurrent_shape)


rule("DynamicQuantizeLSTM", domain=MICROSOFT, foldable=False)(_recurrent_shape)


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
