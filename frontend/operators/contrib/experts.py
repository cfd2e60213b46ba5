"""Mixtures of experts of the domain com.microsoft: every token runs through some of them."""

from __future__ import annotations

from layerweaver.frontend.node.registry import MATRIX, MICROSOFT, like_first, operator
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Lowered, Step, WeightRead
from layerweaver.frontend.operators.products import PACKED_TYPES
from layerweaver.ir import DType, LayerKind, MatrixWork, VectorCategory


def _expert_steps(
    call: Call, *, outer: int, inner: int, entry: tuple[WeightRead, ...], leave: tuple[WeightRead, ...]
) -> tuple[Step, Step]:
    """Two products per token and expert.

    Args:
        call: The node; operand 0 holds the tokens.
        outer: Rows of the first product of one expert: gate and value together.
        inner: Width between the two products.
        entry: Parameters of the first.
        leave: Parameters of the second.
    """
    width = call.shape(0, least_rank=2)[-1]
    experts = call.shape(2, least_rank=3)[0]
    sent = call.elements(0) // max(1, width) * max(1, call.integer("k", 1))
    groups = experts if experts and sent % experts == 0 else 1
    rows = sent // groups
    hidden = f"{call.key}:hidden"
    axis = axis_for(call.batched)
    return (
        Step(
            LayerKind.MATRIX,
            reads=call.node.inputs[:2],
            writes=(hidden,),
            matrix=MatrixWork(groups, rows, outer, width, bool(entry), 1, axis),
            vector=(call.vector(VectorCategory.TRANSCENDENTAL, sent * inner),),
            weights=entry,
            suffix="expand",
            internal={hidden: sent * inner},
        ),
        Step(
            LayerKind.MATRIX,
            reads=(hidden,),
            matrix=MatrixWork(groups, rows, width, inner, bool(leave), 1, axis),
            weights=leave,
            suffix="contract",
        ),
    )


def _per_expert(call: Call, index: int, elements: int) -> int:
    """Rows (or columns) besides the model's width of one expert's matrix of ``elements`` in all experts."""
    return elements // max(1, call.shape(index, least_rank=3)[0] * call.shape(0, least_rank=2)[-1])


@operator("MoE", domain=MICROSOFT, shape=like_first, treatment=MATRIX)
def mixture_of_experts(call: Call) -> Lowered:
    """Every token runs through ``k`` experts of two products, or three with a gate; all are fetched."""
    gate = _per_expert(call, 6, call.elements(6)) if call.has(6) else 0
    return _expert_steps(
        call,
        outer=_per_expert(call, 2, call.elements(2)) + gate,
        inner=_per_expert(call, 4, call.elements(4)),
        entry=call.weights(2, 3, 6, 7),
        leave=call.weights(4, 5),
    )


def _packed(call: Call, index: int, layer: str) -> tuple[int, tuple[WeightRead, ...]]:
    """Elements of a matrix whose values are packed in bytes, and the matrix as a parameter."""
    if not call.has(index):
        return 0, ()
    bits = call.integer(f"{layer}_expert_weight_bits", 0) or call.integer("expert_weight_bits", 4)
    packed = call.dtype(index) in (DType.UINT8, DType.INT8) and 0 < bits < 8
    elements = call.elements(index) * 8 // bits if packed else call.elements(index)
    if not call.constant(index):
        return elements, ()
    dtype = PACKED_TYPES.get(bits) if packed else None
    return elements, (WeightRead(call.info(index).name, "matrix", elements, dtype),)


@operator("QMoE", domain=MICROSOFT, shape=like_first, treatment=MATRIX)
def quantized_mixture_of_experts(call: Call) -> Lowered:
    """The same with weights of a few bits, their scales and zero points."""
    (first, entry), (second, leave), (third, gate) = (
        _packed(call, index, layer) for index, layer in ((2, "fc1"), (5, "fc2"), (8, "fc3"))
    )
    return _expert_steps(
        call,
        outer=_per_expert(call, 2, first) + (_per_expert(call, 8, third) if third else 0),
        inner=_per_expert(call, 5, second),
        entry=entry + gate + call.weights(3, 4, 9, 10) + call.weights(11, 13, 15, role="vector"),
        leave=leave + call.weights(6, 7) + call.weights(12, 16, role="vector"),
    )


@operator("MoEPacked", domain=MICROSOFT, shape=like_first, treatment=MATRIX)
def packed_mixture_of_experts(call: Call) -> Lowered:
    """The same with weights in blocks: rows are in the shape, columns are the model's width."""
    inner = call.shape(2, least_rank=3)[1]
    entry = call.weights(2, 3)
    outer = inner * (2 if call.has(3) else 1)
    return _expert_steps(call, outer=outer, inner=inner, entry=entry, leave=call.weights(4))
