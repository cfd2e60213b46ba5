"""An ONNX model as read from the file: structure, types and small constants, never weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from numpy.typing import NDArray

from layerweaver.ir.dtypes import DType

__all__ = [
    "INDEX_LIMIT",
    "MATERIALIZE_LIMIT",
    "Attribute",
    "AttributeReference",
    "OnnxFunction",
    "OnnxGraph",
    "OnnxModel",
    "OnnxNode",
    "TensorData",
    "ValueInfo",
]

MATERIALIZE_LIMIT = 4096
"""Constants of at most this many elements have their values read; larger ones are skipped in the file."""

INDEX_LIMIT = 1 << 22
"""The same for constants of the types that shapes depend on: indices and masks, which weights never are."""


@dataclass(frozen=True, slots=True, eq=False)
class TensorData:
    """A constant (initializer or attribute).

    Types that NumPy lacks have their values widened: bfloat16 and floats of 8, 6 and 4 bits to float32,
    int4 and int2 to int8, uint4 and uint2 to uint8. ``dtype`` stays what the file says.

    Attributes:
        name: Tensor name.
        dtype: Element type.
        shape: Extents; () for a scalar.
        values: The values, or None when the tensor is large, sparse, of strings, of an unknown type, without
            payload (stripped), or external with no such file beside the model.
        missing: The external file that a small constant is in and that is not there.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    values: NDArray[Any] | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """Declared type of a value.

    Attributes:
        name: Value name.
        dtype: Element type (of the elements, for sequences and optionals).
        shape: Per axis a number, the name of a symbolic dimension (which may be an expression), or None;
            None as a whole when the rank is unknown. Extents that the file gives as negative mean "unknown"
            in practice and read as None.
        container: "tensor", "sequence", "optional", "map", "sparse" or "opaque". An optional sequence is a
            "sequence"; dtype and shape are those of the innermost elements.
    """

    name: str
    dtype: DType
    shape: tuple[int | str | None, ...] | None
    container: str = "tensor"


@dataclass(frozen=True, slots=True, eq=False)
class OnnxNode:
    """One node.

    Attributes:
        op_type: Operator; a call of an overloaded model-local function reads ``name:overload``.
        domain: Operator set; "" is ai.onnx.
        name: Name in the file; often "".
        inputs: Value names, "" for an absent optional input.
        outputs: Value names, "" for an unused optional output.
        attributes: By name.
        scope: Filled by inlining (functions, branches, loop bodies), for messages.
    """

    op_type: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    scope: str = ""

    @property
    def label(self) -> str:
        """Its name, or its first output's where it has none; "" where it has neither."""
        return self.name or next((output for output in self.outputs if output), "")


@dataclass(frozen=True, slots=True, eq=False)
class OnnxGraph:
    """A graph: the main one, a branch or a loop body."""

    name: str
    nodes: tuple[OnnxNode, ...]
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    initializers: Mapping[str, TensorData]
    value_infos: Mapping[str, ValueInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttributeReference:
    """Inside a function body: the value of the named attribute of the calling node."""

    name: str


Attribute: TypeAlias = (
    int
    | float
    | str
    | bytes
    | TensorData
    | OnnxGraph
    | ValueInfo
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
    | tuple[TensorData, ...]
    | tuple[OnnxGraph, ...]
    | tuple[ValueInfo, ...]
    | AttributeReference
)
"""Value of an attribute. Very long lists of numbers are a TensorData of one axis. Text attributes are str
(bytes only when they are not UTF-8; in lists of texts bytes that are not UTF-8 read as backslash escapes)."""


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFunction:
    """A model-local function."""

    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attribute_names: tuple[str, ...]
    attribute_defaults: Mapping[str, Attribute]
    nodes: tuple[OnnxNode, ...]
    opset_imports: Mapping[str, int]
    value_infos: Mapping[str, ValueInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class OnnxModel:
    """A whole file.

    Attributes:
        source: Path or zoo name, for messages.
        sha256: Hash of the file's bytes ("" when not computed).
        opset_imports: Domain to version; the default domain is "".
        functions: Keyed by (domain, name); an overloaded function's name reads ``name:overload``.
    """

    source: str
    ir_version: int
    producer: str
    opset_imports: Mapping[str, int]
    graph: OnnxGraph
    functions: Mapping[tuple[str, str], OnnxFunction]
    sha256: str = ""
