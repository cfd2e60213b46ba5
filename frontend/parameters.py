"""Which constants are parameters, and how large they are in the file.

The rule: operands of matrix, recurrent, normalisation and look-up work count whatever they are. Operands of
elementwise and moving work count when they have more than one element and a real or quantised type; single
numbers (the 0.5 of a GELU, an epsilon, one scale for a whole tensor), shapes, indices and masks do not. An
operand that is computed from constants counts by what is stored: its initializers, each once per model, at
their stored element type; an 8-bit weight behind DequantizeLinear is one byte per element, and its scales
count when there are several. Mean and variance of a batch normalisation fold into its scale and bias and do
not count, nor does the constant initial state of a recurrent layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from layerweaver.frontend.operation import WeightRead, elements_of
from layerweaver.frontend.resolved import ResolvedValue
from layerweaver.ir import DType, TensorSpec

__all__ = ["Parameters"]

_NEVER = frozenset({DType.INT64, DType.UINT64, DType.BOOL, DType.STRING})
_NOT_ELEMENTWISE = _NEVER | {DType.INT32, DType.UINT32, DType.UNDEFINED}


class Parameters:
    """Turns constant operands into the parameters they are stored as.

    Args:
        values: All values of the graph.
    """

    def __init__(self, values: Mapping[str, ResolvedValue]) -> None:
        self._values = values

    def tensors(self, read: WeightRead) -> tuple[TensorSpec, ...]:
        """The stored tensors behind a constant operand."""
        value = self._values[read.value]
        if read.role == "vector" and elements_of(value) <= 1:
            return ()
        roots = self._roots(value)
        if read.role == "vector":
            roots = tuple(root for root in roots if root.elements > 1 and root.dtype not in _NOT_ELEMENTWISE)
        elif len(roots) > 1:
            stored = tuple(root for root in roots if root.elements > 1 and root.dtype not in _NEVER)
            roots = stored or (max(roots, key=lambda root: root.elements),)
        if read.elements is not None and len(roots) == 1:
            dtype = roots[0].dtype if read.dtype is None else read.dtype
            roots = (TensorSpec(roots[0].name, read.elements, dtype, batched=False),)
        return roots

    def table(self, name: str, elements: int | None, dtype: DType | None) -> TensorSpec:
        """The stored table behind a look-up: the largest of the constants it is computed from."""
        roots = self._roots(self._values[name])
        largest = max(roots, key=lambda root: root.elements)
        return TensorSpec(
            largest.name,
            largest.elements if elements is None else elements,
            largest.dtype if dtype is None else dtype,
            batched=False,
        )

    def _roots(self, value: ResolvedValue) -> tuple[TensorSpec, ...]:
        roots = []
        for name in value.roots:
            root = self._values.get(name)
            if root is not None and root.shape is not None:
                roots.append(TensorSpec(name, math.prod(root.shape), root.dtype, batched=False))
        integers = value.dtype not in _NEVER and all(root.dtype in _NEVER for root in roots)
        if not roots or integers:
            # Made from nothing but a shape (ConstantOfShape): what is made is what is stored.
            return (TensorSpec(value.name, elements_of(value), value.dtype, batched=False),)
        return tuple(roots)
