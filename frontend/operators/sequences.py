"""Sequences: their elements are moved in and out, the sequence itself is bookkeeping."""

from __future__ import annotations

from layerweaver.frontend.operation import Operation, Step, View
from layerweaver.frontend.operators.movement import MOVE, move_step
from layerweaver.frontend.registry import Treatment, lowers


@lowers("SequenceConstruct", "SequenceInsert", treatment=Treatment.MOVE, category=MOVE)
def put(operation: Operation) -> Step:
    """What is put in is written once; what was there stays."""
    first = 1 if operation.operator == "SequenceInsert" else 0
    count = 2 if operation.operator == "SequenceInsert" else len(operation.node.inputs)
    elements = sum(operation.elements(index) for index in range(first, count))
    return move_step(operation, elements, tuple(range(first, count)))


@lowers("ConcatFromSequence", "SplitToSequence", treatment=Treatment.MOVE, category=MOVE)
def convert(operation: Operation) -> Step:
    """Everything is written once."""
    return move_step(operation, max(operation.elements(0), operation.output_elements()), (0,))


@lowers("SequenceAt", treatment=Treatment.MOVE, category=MOVE)
def take(operation: Operation) -> Step:
    """One element is read."""
    return move_step(operation, operation.output_elements(), (0,))


@lowers("SequenceErase", treatment=Treatment.VIEW)
def erase(_operation: Operation) -> View:
    """Nothing moves."""
    return View(0)
