"""The one helper that all builders of the zoo share: nodes, weights without storage, and the model around."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Dim", "GraphBuilder"]

Dim = int | str
"""An extent or the name of a symbolic dimension."""

_OPSET = 17
_IR_VERSION = 8
_PRODUCER = "layerweaver-zoo"


class GraphBuilder:
    """Collects the nodes of one graph.

    A weight is the output of a ConstantOfShape node, filled with one value: the graph is valid, runs in any
    ONNX tool and counts its parameters, yet the file holds a few bytes per weight. (The light models of the
    onnx package are made the same way.) Nodes are called after the layer of the published network that they
    belong to.

    Args:
        name: Name of the graph.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._renamed: dict[str, str] = {}

    def input(self, name: str, shape: Sequence[Dim], dtype: int = TensorProto.FLOAT) -> str:
        """Declare a graph input; return its name."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, value: str, name: str, shape: Sequence[Dim], dtype: int = TensorProto.FLOAT) -> None:
        """Make ``value`` a graph output called ``name``."""
        self._renamed[value] = name
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def weight(self, name: str, shape: Sequence[int], fill: float | None = None) -> str:
        """Declare a float32 parameter of the network; return its name.

        Args:
            name: Name of the parameter, as the published implementation calls it.
            shape: Extents.
            fill: Its value everywhere; by default one over the number of terms that a product with it sums,
                so that activations neither vanish nor overflow.
        """
        if fill is None:
            fill = 1.0 / max(1, prod(shape[1:]))
        extents = self.constant(f"extents.{'x'.join(map(str, shape))}", np.array(shape, np.int64))
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [fill])
        self._nodes.append(helper.make_node("ConstantOfShape", [extents], [name], name=name, value=value))
        return name

    def constant(self, name: str, values: np.ndarray[Any, Any]) -> str:
        """Declare a small constant (extents, axes, scalars) once; return its name."""
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(values, name)
        return name

    def integers(self, *values: int) -> str:
        """Declare a list of int64; return its name."""
        return self.constant(f"int64.{'_'.join(map(str, values))}", np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """Declare an int64 scalar; return its name."""
        return self.constant(f"int64.scalar.{value}", np.array(value, np.int64))

    def scalar(self, value: float) -> str:
        """Declare a float32 scalar; return its name."""
        return self.constant(f"float.{value!r}", np.array(value, np.float32))

    def op(self, operator: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Add a node with one output, which is named after it.

        Args:
            operator: ONNX operator.
            inputs: Names of its inputs.
            name: Name of the node, unique in the graph.
            attributes: Its attributes.
        """
        output = f"{name}.out"
        self._nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def split(self, x: str, parts: int, name: str, axis: int = -1) -> tuple[str, ...]:
        """Cut a value into ``parts`` equal ones along ``axis``."""
        outputs = tuple(f"{name}.{part}" for part in range(parts))
        self._nodes.append(helper.make_node("Split", [x], outputs, name=name, axis=axis))
        return outputs

    def linear(self, x: str, inputs: int, outputs: int, name: str, *, bias: bool = True) -> str:
        """Fully connected layer on a value of any rank, as exporters write it: MatMul and Add."""
        weight = self.weight(f"{name}.weight", (inputs, outputs), 1.0 / inputs)
        product = self.op("MatMul", x, weight, name=f"{name}.MatMul")
        if not bias:
            return product
        return self.op("Add", product, self.weight(f"{name}.bias", (outputs,), 0.0), name=f"{name}.Add")

    def dense(self, x: str, inputs: int, outputs: int, name: str) -> str:
        """Fully connected layer on a matrix: Gemm with the weight stored as outputs x inputs."""
        weight = self.weight(f"{name}.weight", (outputs, inputs))
        bias = self.weight(f"{name}.bias", (outputs,), 0.0)
        return self.op("Gemm", x, weight, bias, name=name, transB=1)

    def layer_norm(self, x: str, width: int, name: str, epsilon: float = 1e-12) -> str:
        """Layer normalization over the last axis."""
        scale = self.weight(f"{name}.weight", (width,), 1.0)
        shift = self.weight(f"{name}.bias", (width,), 0.0)
        return self.op("LayerNormalization", x, scale, shift, name=name, axis=-1, epsilon=epsilon)

    def gelu(self, x: str, name: str) -> str:
        """GELU with the error function, in the five operators that exporters write."""
        scaled = self.op("Div", x, self.scalar(2.0**0.5), name=f"{name}.Div")
        error = self.op("Erf", scaled, name=f"{name}.Erf")
        raised = self.op("Add", error, self.scalar(1.0), name=f"{name}.Add")
        product = self.op("Mul", x, raised, name=f"{name}.Mul")
        return self.op("Mul", product, self.scalar(0.5), name=f"{name}.Mul_1")

    def model(self) -> onnx.ModelProto:
        """The finished model (opset 17, IR version 8)."""
        for node in self._nodes:
            for values in (node.input, node.output):
                for index, value in enumerate(values):
                    if value in self._renamed:
                        values[index] = self._renamed[value]
        graph = helper.make_graph(
            self._nodes, self._name, self._inputs, self._outputs, list(self._initializers.values())
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name=_PRODUCER,
        )
