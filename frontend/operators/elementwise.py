"""Elementwise arithmetic, logic and comparison."""

from __future__ import annotations

from layerweaver.frontend.operation import Lowered, Operation, Step, View
from layerweaver.frontend.registry import lowers
from layerweaver.ir import LayerKind, VectorCategory

ELEMENTWISE = VectorCategory.ELEMENTWISE
TRANSCENDENTAL = VectorCategory.TRANSCENDENTAL


def vector_step(
    operation: Operation,
    category: VectorCategory,
    elements: int,
    *,
    window: int = 1,
    kind: LayerKind = LayerKind.VECTOR,
    parameters: tuple[int, ...] | None = None,
) -> Step:
    """A vector (or move) layer; constant operands of more than one element are fetched."""
    indices = tuple(range(len(operation.node.inputs))) if parameters is None else parameters
    return Step(
        kind,
        vector=(operation.vector(category, elements, window=window),),
        weights=operation.weights(*indices, role="vector"),
    )


@lowers("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Neg", "Abs", "Sign", category=ELEMENTWISE)
@lowers("Floor", "Ceil", "Round", "Mod", "Not", "And", "Or", "Xor", "BitShift", category=ELEMENTWISE)
@lowers("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "IsInf", "IsNaN", category=ELEMENTWISE)
@lowers("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", category=ELEMENTWISE)
def elementwise(operation: Operation) -> Step:
    """One pass over the results; variadic forms take one pass per further operand."""
    window = max(1, len(operation.node.inputs) - 1) if operation.operator in _VARIADIC else 1
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), window=window)


_VARIADIC = ("Max", "Min", "Sum", "Mean")


@lowers("Where", category=ELEMENTWISE)
def where(operation: Operation) -> Step:
    """Choose; a constant condition is a mask, not a parameter."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), parameters=(1, 2))


@lowers("Clip", category=ELEMENTWISE)
def clip(operation: Operation) -> Step:
    """Clamp between scalars."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), parameters=(0,))


@lowers("Sqrt", "Reciprocal", "Exp", "Log", "Pow", "Erf", "Sin", "Cos", "Tan", category=TRANSCENDENTAL)
@lowers("Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", category=TRANSCENDENTAL)
def transcendental(operation: Operation) -> Step:
    """One pass of a special function over the results."""
    return vector_step(operation, TRANSCENDENTAL, operation.output_elements())


@lowers("Cast", "CastLike", category=ELEMENTWISE)
def cast(operation: Operation) -> Lowered:
    """Conversion of every element; to the same type it is a view."""
    if operation.input(0).dtype == operation.output(0).dtype:
        return View(0)
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), parameters=(0,))


@lowers("StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", category=ELEMENTWISE)
@lowers("TfIdfVectorizer", category=ELEMENTWISE)
def text(operation: Operation) -> Step:
    """Work on strings, by the number of elements."""
    elements = max(operation.output_elements(), operation.elements(0))
    return vector_step(operation, ELEMENTWISE, elements, parameters=())
