"""Einsum: contractions of labelled axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerweaver.frontend.node.registry import MATRIX, operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.view import Call, axis_for
from layerweaver.frontend.node.work import Step
from layerweaver.ir import BatchAxis, LayerKind, MatrixWork, VectorCategory


def einsum_terms(equation: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[str], str, dict[str, int]]:
    """Subscripts of each operand and of the result, and the extent of each letter.

    An ellipsis is spelled out as digits, counted from the right so that they broadcast.

    Raises:
        ShapeConflictError: The equation does not fit the shapes.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    if len(operands) != len(shapes):
        raise ShapeConflictError(
            f"equation {equation!r} names {len(operands)} operands, there are {len(shapes)}"
        )
    extents: dict[str, int] = {}
    terms, longest = [], 0
    for operand, shape in zip(operands, shapes, strict=True):
        hidden = 0
        if "..." in operand:
            hidden = len(shape) - (len(operand) - 3)
            if hidden < 0 or hidden > 9:
                raise ShapeConflictError(f"equation {equation!r} does not fit {text(shape)}")
        longest = max(longest, hidden)
        term = operand.replace("...", "".join(str(hidden - 1 - place) for place in range(hidden)))
        if len(term) != len(shape):
            raise ShapeConflictError(f"equation {equation!r} does not fit {text(shape)}")
        for letter, extent in zip(term, shape, strict=True):
            known = extents.setdefault(letter, extent)
            if known == 1:
                extents[letter] = extent
            elif extent not in (1, known):
                raise ShapeConflictError(
                    f"equation {equation!r} does not fit {' and '.join(map(text, shapes))}"
                )
        terms.append(term)
    dots = "".join(str(longest - 1 - place) for place in range(longest))
    if arrow:
        result = right.replace("...", dots)
    else:
        joined = "".join(terms)
        result = dots + "".join(
            letter for letter in sorted(set(joined)) if letter.isalpha() and joined.count(letter) == 1
        )
    for letter in result:
        if letter not in extents:
            raise ShapeConflictError(f"equation {equation!r} makes axis {letter!r} from nothing")
    return terms, result, extents


def _einsum_shape(call: Call) -> tuple[Info]:
    shapes = [call.shape(index) for index in range(len(call.inputs))]
    _, result, extents = einsum_terms(call.text("equation", ""), shapes)
    return (Info(call.dtype(0), tuple(extents[letter] for letter in result)),)


@operator("Einsum", shape=_einsum_shape, treatment=MATRIX)
def einsum(call: Call) -> Step | tuple[Step, ...]:
    """Contract pairwise from left to right.

    A pair costs the product of the extents of all its labels, whether they are summed or not; an
    intermediate result keeps the labels that the rest of the equation needs. A single operand is only
    rearranged or summed, which is vector work.
    """
    shapes = [call.shape(index) for index in range(len(call.inputs))]
    terms, result, extents = einsum_terms(call.text("equation", ""), shapes)
    names = call.node.inputs

    def size(labels: str) -> int:
        return math.prod(extents[label] for label in labels)

    if len(terms) == 1:
        work = call.vector(VectorCategory.REDUCTION, call.elements(0))
        return Step(LayerKind.VECTOR, vector=(work,), weights=call.weights(0, role="vector"))
    steps: list[Step] = []
    held, constant, batched = terms[0], call.constant(0), call.info(0).batched
    reads: tuple[str, ...] = (names[0],)
    for index in range(1, len(terms)):
        term = terms[index]
        last = index == len(terms) - 1
        kept_for = result if last else result + "".join(terms[index + 1 :])
        right_constant = call.constant(index)
        right_batched = call.info(index).batched
        left, right = dict.fromkeys(held), dict.fromkeys(term)
        shared = [label for label in left if label in right]
        groups = [label for label in shared if label in kept_for]
        inner = [label for label in shared if label not in kept_for]
        inner += [label for label in [*left, *right] if label not in shared and label not in kept_for]
        rows = [label for label in left if label not in shared and label in kept_for]
        columns = [label for label in right if label not in shared and label in kept_for]
        if constant and not right_constant:
            rows, columns = columns, rows
        axis = BatchAxis.M
        if groups and (not rows or (batched and right_batched)):
            axis = BatchAxis.GROUPS
        elif right_batched and not batched and not constant:
            axis = BatchAxis.N
        kept = "".join([*groups, *rows, *columns])
        output = f"{call.key}:partial{index}"
        steps.append(
            Step(
                LayerKind.MATRIX,
                reads=(*reads, names[index]),
                writes=None if last else (output,),
                matrix=MatrixWork(
                    groups=size("".join(groups)),
                    m=size("".join(rows)),
                    n=size("".join(columns)),
                    k=size("".join(inner)),
                    weights=constant != right_constant,
                    batch_axis=axis_for(batched or right_batched, axis),
                ),
                weights=call.weights(*((0, index) if index == 1 else (index,))),
                suffix="" if len(terms) == 2 else f"pair{index}",
                internal=None if last else {output: size(kept)},
            )
        )
        held, constant, batched = kept, constant and right_constant, batched or right_batched
        reads = (output,)
    return tuple(steps) if len(steps) > 1 else steps[0]
