"""Einsum: contractions of labelled axes."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation, axis_for
from layerweaver.frontend.node.registry import Treatment, lowers, rule
from layerweaver.frontend.node.values import Info, ShapeConflictError, text
from layerweaver.frontend.node.work import Step
from layerweaver.ir import BatchAxis, LayerKind, MatrixWork, VectorCategory

__all__ = ["einsum_terms"]


def _labels(operation: Operation) -> tuple[list[str], str]:
    equation = operation.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    count = len(operation.node.inputs)
    if len(terms) != count:
        raise operation.error(f"the equation {equation[:60]!r} has {len(terms)} terms for {count} operands")
    widest = 0
    ranks = []
    for index, term in enumerate(terms):
        rank = len(operation.shape(index))
        ranks.append(rank)
        if "..." in term:
            widest = max(widest, rank - len(term.replace("...", "")))
    spare = [letter for letter in string.ascii_letters if letter not in equation]
    if widest > len(spare):
        raise operation.error(f"the equation {equation[:60]!r} has too many axes")
    dots = "".join(spare[:widest])
    expanded = []
    for term, rank in zip(terms, ranks, strict=True):
        own = rank - len(term.replace("...", ""))
        full = term.replace("...", dots[len(dots) - own :] if own > 0 else "")
        if len(full) != rank:
            raise operation.error(f"the term {term[:40]!r} does not fit an operand of rank {rank}")
        expanded.append(full)
    if arrow:
        result = right.replace("...", dots)
    else:
        joined = "".join(expanded)
        result = dots + "".join(
            sorted(letter for letter in set(joined) if joined.count(letter) == 1 and letter not in dots)
        )
    return expanded, result


def _extents(operation: Operation, terms: list[str]) -> dict[str, int]:
    extents: dict[str, int] = {}
    for index, term in enumerate(terms):
        for label, extent in zip(term, operation.shape(index), strict=True):
            known = extents.setdefault(label, extent)
            if known != extent and 1 not in (known, extent):
                raise operation.error(f"label {label!r} is {known} in one operand and {extent} in another")
            extents[label] = max(known, extent) if 0 not in (known, extent) else 0
    return extents


@lowers("Einsum", treatment=Treatment.MATRIX)
def einsum(operation: Operation) -> Step | tuple[Step, ...]:
    """Contract pairwise from left to right.

    A pair costs the product of the extents of all its labels, whether they are summed or not; an
    intermediate result keeps the labels that the rest of the equation needs. A single operand is only
    rearranged or summed, which is vector work.
    """
    terms, result = _labels(operation)
    extents = _extents(operation, terms)
    names = operation.node.inputs

    def size(labels: str) -> int:
        return math.prod(extents[label] for label in labels)

    if len(terms) == 1:
        work = operation.vector(VectorCategory.REDUCTION, operation.elements(0))
        return Step(LayerKind.VECTOR, vector=(work,), weights=operation.weights(0, role="vector"))
    steps: list[Step] = []
    held, constant, batched = terms[0], operation.constant(0), operation.input(0).batched
    reads: tuple[str, ...] = (names[0],)
    for index in range(1, len(terms)):
        term = terms[index]
        last = index == len(terms) - 1
        kept_for = result if last else result + "".join(terms[index + 1 :])
        right_constant = operation.constant(index)
        right_batched = operation.input(index).batched
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
        output = f"{operation.key}:partial{index}"
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
                weights=operation.weights(*((0, index) if index == 1 else (index,))),
                suffix="" if len(terms) == 2 else f"pair{index}",
                internal=None if last else {output: size(kept)},
            )
        )
        held, constant, batched = kept, constant and right_constant, batched or right_batched
        reads = (output,)
    return tuple(steps) if len(steps) > 1 else steps[0]


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


@rule("Einsum", foldable=False)
def _einsum(call: Call) -> tuple[Info]:
    shapes = [call.shape(index) for index in range(len(call.inputs))]
    _, result, extents = einsum_terms(call.text("equation", ""), shapes)
    return (Info(call.dtype(0), tuple(extents[letter] for letter in result)),)
