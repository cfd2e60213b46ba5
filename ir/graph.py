"""The layer graph: schedulable layers as nodes, activations as edges, over networkx."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from layerweaver.ir.errors import ModelError
from layerweaver.ir.layer import Layer, TensorSpec

__all__ = ["LayerGraph"]


class LayerGraph:
    """An immutable graph of layers in execution order.

    Edges follow tensor names: a layer that reads what another writes depends on it. The execution order is
    the topological order that keeps the given order wherever dependences allow it, so it is deterministic.

    Args:
        name: Model name, for messages and reports.
        layers: Layers with unique names.
        inputs: Activations that enter the graph (state is listed in the layers, not here).
        outputs: Activations that leave the graph; they stay live to the end.
        batch: Batch size that all counts refer to.
        warnings: What the importer had to assume, one sentence each.

    Raises:
        ModelError: If layer names or tensor producers repeat, or the graph has a cycle.
    """

    def __init__(
        self,
        name: str,
        layers: Iterable[Layer],
        *,
        inputs: Iterable[TensorSpec] = (),
        outputs: Iterable[TensorSpec] = (),
        batch: int = 1,
        warnings: Iterable[str] = (),
    ) -> None:
        if batch < 1:
            raise ModelError(
                f"batch {batch} is not positive", where=name, accepted="give a batch of 1 or more"
            )
        self.name = name
        self.batch = batch
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.warnings = tuple(warnings)
        given = tuple(layers)
        self._graph: nx.DiGraph[str] = nx.DiGraph(name=name)
        self._producer: dict[str, str] = {}
        for layer in given:
            if layer.name in self._graph:
                raise ModelError("two layers have the same name", where=f"{name}: layer {layer.name!r}")
            self._graph.add_node(layer.name, layer=layer)
            for tensor in layer.outputs:
                if tensor.name in self._producer:
                    raise ModelError(
                        f"tensor {tensor.name!r} has two producers, {self._producer[tensor.name]!r} and this",
                        where=f"{name}: layer {layer.name!r}",
                    )
                self._producer[tensor.name] = layer.name
        for layer in given:
            for tensor in layer.inputs:
                source = self._producer.get(tensor.name)
                if source is not None and source != layer.name:
                    self._graph.add_edge(source, layer.name)
        position = {layer.name: index for index, layer in enumerate(given)}
        by_name = {layer.name: layer for layer in given}
        try:
            order = nx.lexicographical_topological_sort(self._graph, key=position.__getitem__)
            self._layers = tuple(by_name[layer_name] for layer_name in order)
        except nx.NetworkXUnfeasible:
            cycle = [edge[0] for edge in nx.find_cycle(self._graph)]
            raise ModelError(
                f"layers depend on each other in a circle: {', '.join(cycle[:5])}",
                where=name,
                accepted="an ONNX graph must be acyclic",
            ) from None
        self._by_name = by_name

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in execution order."""
        return self._layers

    @property
    def graph(self) -> nx.DiGraph[str]:
        """A copy of the dependence graph; every node has its :class:`Layer` under ``layer``."""
        return self._graph.copy()

    @property
    def producers(self) -> Mapping[str, str]:
        """Tensor name to the name of the layer that writes it."""
        return MappingProxyType(self._producer)

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers)

    def __getitem__(self, name: str) -> Layer:
        return self._by_name[name]

    def __repr__(self) -> str:
        return f"LayerGraph({self.name!r}, layers={len(self)}, batch={self.batch}, macs={self.macs})"

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference of the whole batch."""
        return sum(layer.macs for layer in self._layers)

    def parameter_tensors(self) -> tuple[TensorSpec, ...]:
        """Every constant once, in order of first use."""
        seen: dict[str, TensorSpec] = {}
        for layer in self._layers:
            for tensor in layer.parameters:
                seen.setdefault(tensor.name, tensor)
        return tuple(seen.values())

    @property
    def parameters(self) -> int:
        """Number of constant elements, shared ones once."""
        return sum(tensor.elements for tensor in self.parameter_tensors())

    def with_batch(self, batch: int) -> LayerGraph:
        """The same network at another batch size: activations and work scale, weights do not."""
        if batch == self.batch:
            return self
        return LayerGraph(
            self.name,
            (layer.with_batch(batch, self.batch) for layer in self._layers),
            inputs=(tensor.with_batch(batch, self.batch) for tensor in self.inputs),
            outputs=(tensor.with_batch(batch, self.batch) for tensor in self.outputs),
            batch=batch,
            warnings=self.warnings,
        )

    def live_bytes(self, bytes_of: Callable[[TensorSpec], int] = TensorSpec.nbytes) -> NDArray[np.int64]:
        """Activation bytes that must be kept while each layer runs.

        A tensor is live from the layer that writes it (graph inputs: from the start) to its last reader
        (graph outputs: to the end). State is not counted: it lives in DRAM.

        Args:
            bytes_of: Bytes of a tensor; defaults to the model's own element types.

        Returns:
            Array of shape (layers,) in execution order; its maximum is the peak.
        """
        first: dict[str, int] = {tensor.name: 0 for tensor in self.inputs}
        last: dict[str, int] = {}
        size: dict[str, int] = {tensor.name: bytes_of(tensor) for tensor in self.inputs}
        for index, layer in enumerate(self._layers):
            for tensor in layer.inputs:
                first.setdefault(tensor.name, 0)
                size.setdefault(tensor.name, bytes_of(tensor))
                last[tensor.name] = index
            for tensor in layer.outputs:
                first[tensor.name] = index
                size[tensor.name] = bytes_of(tensor)
                last.setdefault(tensor.name, index)
        end = len(self._layers) - 1
        for tensor in self.outputs:
            if tensor.name in last:
                last[tensor.name] = end
        change = np.zeros(len(self._layers) + 1, dtype=np.int64)
        for tensor_name, until in last.items():
            change[first[tensor_name]] += size[tensor_name]
            change[until + 1] -= size[tensor_name]
        return np.cumsum(change[:-1])
