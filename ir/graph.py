"""The layer graph: schedulable layers as nodes, activations as edges.

networkx, which takes a fifth of a second to load, orders the layers of a graph that is not in order already
and gives the graph to those who ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir.errors import ModelError
from layerweaver.ir.given import given_whole
from layerweaver.ir.layer import Layer, TensorSpec

if TYPE_CHECKING:
    import networkx as nx

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
        lacking: Those of them that say why work is missing from the totals.

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
        lacking: Iterable[str] = (),
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
        self.lacking = tuple(lacking)
        given = tuple(layers)
        self._by_name: dict[str, Layer] = {}
        self._producer: dict[str, str] = {}
        for layer in given:
            if layer.name in self._by_name:
                raise ModelError("two layers have the same name", where=f"{name}: layer {layer.name!r}")
            self._by_name[layer.name] = layer
            for tensor in layer.outputs:
                if tensor.name in self._producer:
                    raise ModelError(
                        f"tensor {tensor.name!r} has two producers, {self._producer[tensor.name]!r} and this",
                        where=f"{name}: layer {layer.name!r}",
                    )
                self._producer[tensor.name] = layer.name
        self._layers = given
        position = {layer.name: index for index, layer in enumerate(given)}
        if any(position[source] > position[layer] for source, layer in self._edges()):
            self._layers = self._in_order(position)

    def _edges(self) -> Iterator[tuple[str, str]]:
        """Pairs of layers of which the second reads what the first writes; some come more than once."""
        for layer in self._layers:
            for tensor in layer.inputs:
                source = self._producer.get(tensor.name)
                if source is not None and source != layer.name:
                    yield source, layer.name

    def _in_order(self, position: Mapping[str, int]) -> tuple[Layer, ...]:
        import networkx as nx  # noqa: PLC0415

        graph = self.graph
        try:
            order = nx.lexicographical_topological_sort(graph, key=position.__getitem__)
            return tuple(self._by_name[layer_name] for layer_name in order)
        except nx.NetworkXUnfeasible:
            cycle = [edge[0] for edge in nx.find_cycle(graph)]
            raise ModelError(
                f"layers depend on each other in a circle: {', '.join(cycle[:5])}",
                where=self.name,
                accepted="an ONNX graph must be acyclic",
            ) from None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in execution order."""
        return self._layers

    @property
    def graph(self) -> nx.DiGraph[str]:
        """The dependence graph, made anew; every node has its :class:`Layer` under ``layer``."""
        import networkx as nx  # noqa: PLC0415

        graph: nx.DiGraph[str] = nx.DiGraph(name=self.name)
        graph.add_nodes_from((layer.name, {"layer": layer}) for layer in self._layers)
        graph.add_edges_from(self._edges())
        return graph

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
    def complete(self) -> bool:
        """Whether the totals hold all work; :attr:`lacking` says what is missing where they do not."""
        return not self.lacking

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
        """The same network at another batch size: activations and work scale, weights do not.

        Raises:
            ModelError: If it is no whole number above 0.
        """
        batch = given_whole("batch", batch, ModelError)
        if batch == self.batch:
            return self
        return LayerGraph(
            self.name,
            (layer.with_batch(batch, self.batch) for layer in self._layers),
            inputs=(tensor.with_batch(batch, self.batch) for tensor in self.inputs),
            outputs=(tensor.with_batch(batch, self.batch) for tensor in self.outputs),
            batch=batch,
            warnings=self.warnings,
            lacking=self.lacking,
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
