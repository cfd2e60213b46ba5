"""What an operator function answers: pieces of work, a view, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from layerweaver.ir import DType, LayerKind, MatrixWork, VectorWork

__all__ = ["FREE", "WINDOW", "Free", "GatherRead", "Lowered", "Step", "View", "WeightRead", "repeated"]

WINDOW = "local_window_size"
"""Attribute by which operators of attention state their window."""


@dataclass(frozen=True, slots=True)
class WeightRead:
    """A constant operand that is fetched as a parameter.

    Attributes:
        value: Resolved name of the constant, or a name of its own for what an attribute holds, which then
            needs ``elements`` and ``dtype``.
        role: "matrix" for operands of matrix, normalisation and recurrent work, which always count;
            "vector" for operands of elementwise work, of which single elements and integers do not count.
        elements: Number of parameters when it is not the number of stored elements (packed formats).
        dtype: Type of one parameter when it is not the stored type.
    """

    value: str
    role: str = "matrix"
    elements: int | None = None
    dtype: DType | None = None


@dataclass(frozen=True, slots=True)
class GatherRead:
    """Rows of a constant table.

    Attributes:
        table: Resolved name of the table.
        rows: Number of elements read.
        batched: Whether that number grows with the batch.
        elements: Number of parameters when it is not the number of stored elements (packed formats).
        dtype: Type of one parameter when it is not the stored type.
    """

    table: str
    rows: int
    batched: bool = True
    elements: int | None = None
    dtype: DType | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work: what becomes a layer before fusion.

    Attributes:
        kind: Unit that mainly runs it.
        reads: Resolved names of the operands; None stands for the node's own inputs. Constants among them
            are ignored unless they are in ``weights`` or ``gathers``.
        writes: Resolved names of the results; None stands for the node's own outputs. Names that no value
            has are internal to the node and need an entry in ``internal``.
        matrix: Matrix products.
        vector: Vector work.
        weights: Constants that are fetched.
        gathers: Table look-ups.
        suffix: Distinguishes the steps of one node, for example "scores".
        role: What the step is known as, for example "attention-scores".
        internal: Elements of results that are internal to the node.
        partial: Elements read of operands of which only a part is read.
        window: Tokens that attention looks at, at most; 0 for all.
        appended: Elements really written of results that hold a grown state (a cache and its new rows).
    """

    kind: LayerKind
    reads: tuple[str, ...] | None = None
    writes: tuple[str, ...] | None = None
    matrix: MatrixWork | None = None
    vector: tuple[VectorWork, ...] = ()
    weights: tuple[WeightRead, ...] = ()
    gathers: tuple[GatherRead, ...] = ()
    suffix: str = ""
    role: str = ""
    internal: Mapping[str, int] | None = None
    appended: Mapping[str, int] | None = None
    partial: Mapping[str, int] | None = None
    window: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """The node moves nothing: each result is stored where an operand is.

    Attributes:
        operand: Index of the operand that every result stands for.
    """

    operand: int = 0


@dataclass(frozen=True, slots=True)
class Free:
    """The node costs nothing and its results need no storage (constants, shapes)."""


FREE = Free()

Lowered: TypeAlias = Step | tuple[Step, ...] | View | Free


def repeated(step: Step, repeats: int) -> Step:
    """The step of a loop body that runs ``repeats`` times with the same weights."""
    if repeats == 1:
        return step
    matrix = step.matrix
    return replace(
        step,
        matrix=replace(matrix, steps=matrix.steps * repeats) if matrix else None,
        vector=tuple(replace(work, elements=work.elements * repeats) for work in step.vector),
        gathers=tuple(replace(gather, rows=gather.rows * repeats) for gather in step.gathers),
    )
