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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from layerweaver.frontend.node.values import Info, elements_of
from layerweaver.frontend.node.work import GatherRead, WeightRead
from layerweaver.ir import DType, GatherWork, ModelError, TensorSpec
from layerweaver.ir.limits import MAX_ELEMENTS

__all__ = ["Parameters", "check_size"]

_NEVER = frozenset({DType.INT64, DType.UINT64, DType.BOOL, DType.STRING})
_PART_OF = frozenset({"Gather", "Slice", "Split", "GatherND", "GatherElements"})
_SAME_ELEMENTS = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity", "Cast", "Transpose"})
_NOT_ELEMENTWISE = _NEVER | {DType.INT32, DType.UINT32, DType.UNDEFINED}


def check_size(tensor: TensorSpec, source: str) -> None:
    """Refuse a tensor beyond all bounds.

    Raises:
        ModelError: If it has more than :data:`MAX_ELEMENTS` elements.
    """
    if tensor.elements > MAX_ELEMENTS:
        raise ModelError(
            f"tensor {tensor.name!r} has {tensor.elements} elements",
            where=source,
            accepted=f"tensors of at most {MAX_ELEMENTS} elements",
        )


class Parameters:
    """Turns constant operands into the parameters they are stored as.

    Args:
        source: Model, for messages.
        values: All values of the graph.
    """

    def __init__(self, source: str, values: Mapping[str, Info]) -> None:
        self._source = source
        self._values = values
        self._whole: dict[str, str] = {}

    def note_part(self, operator: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Remember constants that are a part of a larger one: only the part is fetched.

        Args:
            operator: Type of a node whose results are constant.
            inputs: Its operands.
            outputs: Its results.
        """
        source = inputs[0] if inputs else ""
        value = self._values.get(source)
        if value is None or not value.constant:
            return
        if operator in _PART_OF:
            whole = elements_of(value)
            for name in outputs:
                if name in self._values and elements_of(self._values[name]) < whole:
                    self._whole[name] = source
        elif operator in _SAME_ELEMENTS and source in self._whole:
            for name in outputs:
                self._whole[name] = self._whole[source]

    def fetched(self, reads: Sequence[WeightRead]) -> tuple[dict[str, TensorSpec], list[GatherWork]]:
        """The parameters behind constant operands, by name; parts of elementwise ones are rows of a table.

        Raises:
            ModelError: If one is beyond all bounds.
        """
        found: dict[str, TensorSpec] = {}
        rows: list[GatherWork] = []
        for read in reads:
            tensors = self._stored(read)
            whole = self._whole.get(read.value)
            if whole is not None and len(tensors) == 1 and read.elements is None:
                count = elements_of(self._values[read.value])
                if read.role == "vector":
                    rows.append(self.gather(GatherRead(whole, count, batched=False)))
                    continue
                tensors = (replace(tensors[0], name=f"{tensors[0].name}[{read.value}]", elements=count),)
            for tensor in tensors:
                check_size(tensor, self._source)
                found.setdefault(tensor.name, tensor)
        return found, rows

    def gather(self, read: GatherRead) -> GatherWork:
        """A look-up in the stored table: the largest of the constants it is computed from.

        Raises:
            ModelError: If the table or what is read of it is beyond all bounds.
        """
        largest = max(self._roots(self._values[read.table]), key=lambda root: root.elements)
        table = TensorSpec(
            largest.name,
            largest.elements if read.elements is None else read.elements,
            largest.dtype if read.dtype is None else read.dtype,
            batched=False,
        )
        rows = TensorSpec(f"{table.name}:rows", read.rows, table.dtype, read.batched)
        check_size(table, self._source)
        check_size(rows, self._source)
        return GatherWork(table, rows)

    def _stored(self, read: WeightRead) -> tuple[TensorSpec, ...]:
        """The stored tensors behind a constant operand."""
        value = self._values.get(read.value)
        if value is None:  # held by an attribute
            dtype = DType.FLOAT32 if read.dtype is None else read.dtype
            return (TensorSpec(read.value, read.elements or 0, dtype, batched=False),)
        if read.role == "vector" and elements_of(value) <= 1:
            return ()
        roots = self._roots(value)
        if read.role == "vector":
            if value.shaped:
                # Nothing filled to the length of the inputs, as masks are, is stored.
                roots = tuple(self._stored_roots(value))
            roots = tuple(root for root in roots if root.elements > 1 and root.dtype not in _NOT_ELEMENTWISE)
        elif len(roots) > 1:
            stored = tuple(root for root in roots if root.elements > 1 and root.dtype not in _NEVER)
            roots = stored or (max(roots, key=lambda root: root.elements),)
        if len(roots) == 1 and roots[0].elements == 1 < elements_of(value) and read.elements is None:
            # Computed from single numbers (sinusoids of positions): nothing of it is stored.
            return ()
        if read.elements is not None and len(roots) == 1:
            dtype = roots[0].dtype if read.dtype is None else read.dtype
            roots = (TensorSpec(roots[0].name, read.elements, dtype, batched=False),)
        return roots

    def _stored_roots(self, value: Info) -> Iterator[TensorSpec]:
        for name in value.roots:
            root = self._values.get(name)
            if root is not None and root.shape is not None:
                yield TensorSpec(name, math.prod(root.shape), root.dtype, batched=False)

    def _roots(self, value: Info) -> tuple[TensorSpec, ...]:
        roots = tuple(self._stored_roots(value))
        integers = value.dtype not in _NEVER and all(root.dtype in _NEVER for root in roots)
        if not roots or integers:
            # Made from nothing but a shape (ConstantOfShape): what is made is what is stored.
            return (TensorSpec(value.name, elements_of(value), value.dtype, batched=False),)
        return roots
