"""What propagation knows of a value, and the arithmetic of shapes that every operator needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from layerweaver.frontend.reader.minifloat import NUMPY_TYPES
from layerweaver.ir.dtypes import DType

__all__ = [
    "FOLD_LIMIT",
    "VALUE_BYTES",
    "Array",
    "Cause",
    "Info",
    "ShapeConflictError",
    "UnknownShapeError",
    "broadcast",
    "elements_of",
    "integers",
    "numpy_type",
    "storable",
]

Array: TypeAlias = NDArray[Any]

FOLD_LIMIT = 1 << 22
"""Results of more elements are not computed, only their shapes."""

VALUE_BYTES = 1 << 27
"""Most bytes of values that are kept of one model; later ones are dropped, as if they were not known."""

_NUMPY: dict[DType, np.dtype[Any]] = {
    dtype: np.dtype(kind).newbyteorder("=")
    for dtype, kind in {
        **NUMPY_TYPES,
        DType.BFLOAT16: "f4",
        **dict.fromkeys((DType.INT4, DType.INT2), "i1"),
        **dict.fromkeys((DType.UINT4, DType.UINT2), "u1"),
    }.items()
    if dtype not in (DType.COMPLEX64, DType.COMPLEX128)
}


class UnknownShapeError(Exception):
    """The shape or the value of an input is not known.

    A shape rule that raises it gets what the file declares; work that raises it is costed by size.

    Args:
        what: What is missing, in words.
        value: The input whose value is missing; None when it is a shape.
    """

    def __init__(self, what: str, value: Info | None = None) -> None:
        super().__init__(what)
        self.value = value


class ShapeConflictError(Exception):
    """A node does not fit its operator; whoever catches it names the node.

    Args:
        what: The contradiction, with both shapes.
        accepted: What would be accepted; "" when there is nothing to add.
    """

    def __init__(self, what: str, accepted: str = "") -> None:
        super().__init__(what)
        self.accepted = accepted


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a shape or a value is unknown or only bounded.

    Attributes:
        what: What happened first, naming the node or file.
        cure: What the user can do, as a clause that begins with a verb.
        root: The value of the main graph whose bound this is; "" when it is none or follows from several.
    """

    what: str
    cure: str
    root: str = ""


@dataclass(slots=True, eq=False)
class Info:
    """What is known of one value of the graph.

    Attributes:
        name: Resolved name, unique in the flat graph ("" until the walker gives one).
        dtype: Element type.
        shape: Extents, or None when unknown; for a sequence the largest extents of its elements.
        value: The value itself when it is small and known.
        constant: Follows from constants and bound shapes alone (a weight, a weight behind Transpose or Cast,
            shape arithmetic). What a matrix operator makes of constants is not constant: runtimes execute
            it, and so it is counted.
        shaped: Depends on the shape of something that is not constant.
        batched: Grows with the batch: it depends on the values of the graph's inputs.
        roots: For constants, the initializers (or outputs of Constant, or of ConstantOfShape with a
            constant shape) it was computed from; empty for what was made from shapes alone.
        upper: Whether the shape or value is only an upper bound; a rule that answers None says that it is
            exact although its inputs are bounds.
        cause: Why shape or value is unknown or bounded, where it is.
        slope: How its extents grow from trip to trip, in a loop that is summed; None where they do not.
        hot: For one-hot vectors, the axis along which they lie and how many there are.
        most: For a mask, how many of its elements are true at most; None when nothing is known.
        elements: For a sequence, its elements in order; None for a tensor.
        absent: For an optional, whether it is known to be empty.
        varying: Within a trial of a loop body, whether the value differs from trip to trip.
        guessed: Whether the shape follows from what was assumed of an operator that nobody knows.
    """

    dtype: DType
    shape: tuple[int, ...] | None
    value: Array | None = None
    _: KW_ONLY
    name: str = ""
    constant: bool = False
    shaped: bool = False
    batched: bool = False
    roots: tuple[str, ...] = ()
    upper: bool | None = False
    cause: Cause | None = None
    slope: tuple[int, ...] | None = None
    hot: tuple[int, int] | None = None
    most: int | None = None
    elements: tuple[Info, ...] | None = None
    absent: bool = False
    varying: bool = False
    guessed: bool = False

    def part(self, shape: tuple[int, ...] | None) -> Info:
        """What is a part of this value, or this value turned: of its origin, with no value of its own."""
        return Info(
            self.dtype,
            shape,
            name=self.name,
            constant=self.constant,
            shaped=self.shaped,
            batched=self.batched,
            roots=self.roots,
            upper=self.upper,
        )


def elements_of(info: Info | None) -> int:
    """Number of elements of a value, of all elements of a sequence; 0 when its shape is unknown."""
    if info is None or info.shape is None:
        return 0
    return math.prod(info.shape) * (1 if info.elements is None else len(info.elements))


def numpy_type(dtype: DType) -> np.dtype[Any] | None:
    """NumPy type in which values of ``dtype`` are computed; None when they are not computed at all."""
    return _NUMPY.get(dtype)


def storable(value: Array | None, dtype: DType, shape: tuple[int, ...]) -> Array | None:
    """``value`` as an array of the type and shape that ``dtype`` and ``shape`` say, or None.

    Values that do not fit (too many, of a type that is not computed, of another size) are dropped: a
    value is a help, never a need.
    """
    target = _NUMPY.get(dtype)
    if value is None or target is None or value.size > FOLD_LIMIT or value.size != math.prod(shape):
        return None
    if value.dtype != target:
        if value.dtype.kind in "OUSMm":
            return None
        value = value.astype(target)
    return value if value.shape == shape else value.reshape(shape)


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of the multidirectional broadcast of ``shapes`` (NumPy's rule).

    Raises:
        ShapeConflictError: The shapes do not broadcast.
    """
    first = shapes[0]
    result: tuple[int, ...] | list[int] = first
    for shape in shapes[1:]:
        if shape == result or not shape:
            continue
        if not result:
            result = shape
            continue
        longer, shorter = (result, shape) if len(result) >= len(shape) else (shape, result)
        merged = list(longer)
        offset = len(longer) - len(shorter)
        for axis, extent in enumerate(shorter, offset):
            if merged[axis] == extent or extent == 1:
                continue
            if merged[axis] != 1:
                raise ShapeConflictError("shapes " + " and ".join(map(text, shapes)) + " do not broadcast")
            merged[axis] = extent
        result = tuple(merged)
    return tuple(result)


def integers(value: Array) -> list[int]:
    """The elements of ``value`` as Python integers, in order."""
    return [int(element) for element in value.ravel().tolist()]


def text(shape: Iterable[int]) -> str:
    """A shape as users write it, such as ``1x3x224x224``; "scalar" for no axes."""
    return "x".join(map(str, shape)) or "scalar"
