"""Attention as one operator: scores with their softmax, then context."""

from __future__ import annotations

from dataclasses import dataclass

from layerweaver.frontend.operation import Operation, Step, axis_for
from layerweaver.frontend.registry import Treatment, lowers
from layerweaver.ir import BatchAxis, LayerKind, MatrixWork, VectorCategory


@dataclass(frozen=True, slots=True)
class Heads:
    """Extents of one attention.

    Attributes:
        batch: Sequences.
        heads: Query heads.
        queries: Query tokens.
        keys: Tokens attended to, those of a cache included.
        size: Width of a head's queries and keys.
        value_size: Width of a head's values.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    size: int
    value_size: int


def attention_steps(
    operation: Operation,
    heads: Heads,
    *,
    query_key: tuple[str, ...],
    values: tuple[str, ...],
    caches: tuple[str, str] = ("", ""),
    appended: tuple[int, int] = (0, 0),
    extra: int = 0,
) -> tuple[Step, Step]:
    """Scores and context of one attention.

    Args:
        operation: The node; result 0 is the context.
        heads: Extents.
        query_key: Operands of the scores: queries, keys, a cache, masks.
        values: Operands of the context besides the scores.
        caches: Results that hold the grown key and value caches ("" when there are none).
        appended: New elements in each of them.
        extra: Further elementwise passes over the scores (scaling by a mask, capping).
    """
    groups = heads.batch * heads.heads
    axis = axis_for(operation.batched, BatchAxis.GROUPS)
    scores = groups * heads.queries * heads.keys
    weights_name = f"{operation.key}:scores"
    names = {name for name in operation.node.outputs[1:] if name and name not in caches}
    passes = tuple(operation.vector(VectorCategory.ELEMENTWISE, scores) for _ in range(extra))
    return (
        Step(
            LayerKind.MATRIX,
            reads=query_key,
            writes=(weights_name, *((caches[0],) if caches[0] else ()), *sorted(names)),
            matrix=MatrixWork(groups, heads.queries, heads.keys, heads.size, False, 1, axis),
            vector=(*passes, operation.vector(VectorCategory.SOFTMAX, scores)),
            suffix="scores",
            role="attention-scores",
            internal={weights_name: scores},
            appended={caches[0]: appended[0]} if caches[0] and appended[0] else None,
        ),
        Step(
            LayerKind.MATRIX,
            reads=(weights_name, *values),
            writes=(operation.node.outputs[0], *((caches[1],) if caches[1] else ())),
            matrix=MatrixWork(groups, heads.queries, heads.value_size, heads.keys, False, 1, axis),
            suffix="context",
            role="attention-context",
            appended={caches[1]: appended[1]} if caches[1] and appended[1] else None,
        ),
    )


def given(operation: Operation, *indices: int) -> tuple[str, ...]:
    """Names of those operands among ``indices`` that are given."""
    return tuple(operation.node.inputs[index] for index in indices if operation.has_input(index))


def result(operation: Operation, index: int) -> str:
    """Name of result ``index``, "" when it is not asked for."""
    return operation.node.outputs[index] if operation.has_output(index) else ""


def split_heads(operation: Operation, index: int, heads: int) -> tuple[int, int, int, int]:
    """(batch, heads, tokens, head size) of operand ``index``, packed (3 axes) or per head (4 axes)."""
    shape = operation.shape(index, least_rank=3)
    if len(shape) == 3:
        heads = max(1, heads)
        return shape[0], heads, shape[1], shape[2] // heads
    return shape[0], shape[1], shape[2], shape[3]


@lowers("Attention", since=23, treatment=Treatment.MATRIX)
@lowers("FlexAttention", domain="ai.onnx.preview", treatment=Treatment.MATRIX)
def attention(operation: Operation) -> tuple[Step, Step]:
    """Scaled dot-product attention over projected operands; causal masks save nothing on an array."""
    query_heads = operation.integer("q_num_heads", 1)
    batch, heads, queries, size = split_heads(operation, 0, query_heads)
    _, kv_heads, keys, _ = split_heads(operation, 1, operation.integer("kv_num_heads", query_heads))
    _, _, _, value_size = split_heads(operation, 2, kv_heads)
    past = operation.shape(4, least_rank=4)[2] if operation.has_input(4) else 0
    extra = (1 if operation.has_input(3) else 0) + (1 if "softcap" in operation.node.attributes else 0)
    return attention_steps(
        operation,
        Heads(batch, heads, queries, keys + past, size, value_size),
        query_key=given(operation, 0, 1, 3, 4, 6),
        values=given(operation, 2, 5),
        caches=(result(operation, 1), result(operation, 2)),
        appended=(operation.elements(1), operation.elements(2)),
        extra=extra,
    )
