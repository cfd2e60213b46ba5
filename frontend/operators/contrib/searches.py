"""Operators of com.microsoft that generate sequences; the decoder inside of them is walked like a loop."""

from __future__ import annotations

from layerweaver.frontend.node.registry import MICROSOFT, operator
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.ir import DType, LayerKind, VectorCategory


def _longest(call: Call) -> int:
    return max(0, call.integers(1)[0])


def _greedy_shape(call: Call) -> tuple[Info, ...]:
    batch = call.shape(0, least_rank=1)[0]
    logits = Info(DType.FLOAT32, (batch, max(0, call.integer("vocab_size", 0))))
    return Info(DType.INT32, (batch, _longest(call)), upper=True), logits


def _beam_shape(call: Call) -> tuple[Info, ...]:
    shape, longest = call.shape(0, least_rank=2), _longest(call)
    returned = call.integers(4)[0] if call.has(4) else 1
    beams = call.integers(3)[0]
    prompt = 1 if "encoder" in call.attributes else shape[1]
    prompt = call.shape(10, least_rank=2)[1] if call.has(10) else prompt
    steps = max(0, longest - prompt)
    vocabulary = max(0, call.integer("vocab_size", 0))
    return (
        Info(DType.INT32, (shape[0], returned, longest), upper=True),
        Info(DType.FLOAT32, (shape[0], returned)),
        Info(DType.FLOAT32, (steps, shape[0], beams, vocabulary), upper=True),
    )


@operator(
    "GreedySearch",
    "Sampling",
    domain=MICROSOFT,
    shape=_greedy_shape,
    category=VectorCategory.SOFTMAX,
    foldable=False,
)
@operator(
    "BeamSearch",
    "WhisperBeamSearch",
    domain=MICROSOFT,
    shape=_beam_shape,
    category=VectorCategory.SOFTMAX,
    foldable=False,
)
def search(call: Call) -> Step:
    """The decoder inside once for the prompt and once per token; here a softmax per token and beam."""
    batch, longest = call.output_shape()[0], _longest(call)
    beams = call.integers(3)[0] if "Beam" in call.op else 1
    elements = batch * beams * longest * max(1, call.integer("vocab_size", 1))
    return Step(LayerKind.VECTOR, vector=(call.vector(VectorCategory.SOFTMAX, elements),))
