"""Operators of com.microsoft that generate sequences by a decoder inside of them, whose work they hide."""

from __future__ import annotations

from layerweaver.frontend.node.registry import MICROSOFT, operator
from layerweaver.frontend.node.values import Info, UnknownShapeError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered
from layerweaver.ir import DType


def _longest(call: Call) -> int:
    call.note("how long its sequences become depends on data: taken as the longest")
    return call.integers(1)[0]


def _greedy_shape(call: Call) -> tuple[Info, ...]:
    batch = call.shape(0, least_rank=1)[0]
    logits = Info(DType.FLOAT32, (batch, max(0, call.integer("vocab_size", 0))))
    return Info(DType.INT32, (batch, _longest(call)), upper=True), logits


def _beam_shape(call: Call) -> tuple[Info, ...]:
    shape, longest = call.shape(0, least_rank=2), _longest(call)
    returned = call.integers(4)[0] if call.has(4) else 1
    beams = call.integers(3)[0]
    steps = max(0, longest - (shape[1] if call.op == "BeamSearch" else 1))
    vocabulary = max(0, call.integer("vocab_size", 0))
    return (
        Info(DType.INT32, (shape[0], returned, longest), upper=True),
        Info(DType.FLOAT32, (shape[0], returned)),
        Info(DType.FLOAT32, (steps, shape[0], beams, vocabulary), upper=True),
    )


@operator("GreedySearch", "Sampling", domain=MICROSOFT, shape=_greedy_shape, foldable=False)
@operator("BeamSearch", "WhisperBeamSearch", domain=MICROSOFT, shape=_beam_shape, foldable=False)
def search(call: Call) -> Lowered:
    """The decoder inside runs once per token that data ask for: totals lack it, and say so."""
    raise UnknownShapeError(f"the decoder inside of {call.op} is not unrolled: its work is not counted")
