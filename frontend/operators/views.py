"""Operators that only look at the same data in another way."""

from __future__ import annotations

from layerweaver.frontend.operation import Operation, View
from layerweaver.frontend.registry import Treatment, lowers


@lowers("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "BitCast", treatment=Treatment.VIEW)
@lowers("Optional", "OptionalGetElement", treatment=Treatment.VIEW)
def view(_operation: Operation) -> View:
    """The result is stored where the first operand is."""
    return View(0)


@lowers("Dropout", treatment=Treatment.VIEW)
def dropout(_operation: Operation) -> View:
    """Inference: nothing is dropped."""
    return View(0)
