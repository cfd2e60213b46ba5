"""The layer graph as a plain document, as ``layerweaver inspect --json`` prints it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from layerweaver.ir.graph import LayerGraph
from layerweaver.ir.layer import Layer, TensorSpec

__all__ = ["graph_document", "layer_document"]


def _bytes(tensors: Iterable[TensorSpec]) -> int:
    return sum(tensor.nbytes() for tensor in tensors)


def layer_document(layer: Layer) -> dict[str, Any]:
    """One layer.

    Sizes are in bytes of the model's own element types. ``groups`` includes sequential steps, so that
    groups x m x n x k = macs; the four are None for layers without a product. ``weight_bytes`` counts every
    constant that the layer refers to, look-up tables whole; ``gather_bytes`` is what is fetched of those.
    """
    work = layer.matrix
    return {
        "name": layer.name,
        "kind": layer.kind.value,
        "operators": list(layer.operators),
        "groups": work.steps * work.groups if work else None,
        "m": work.m if work else None,
        "n": work.n if work else None,
        "k": work.k if work else None,
        "macs": layer.macs,
        "weight_bytes": _bytes(layer.parameters),
        "input_bytes": _bytes(layer.inputs),
        "output_bytes": _bytes(layer.outputs),
        "gather_bytes": _bytes(gather.rows for gather in layer.gathers),
        "state_bytes": _bytes(layer.state_reads) + _bytes(layer.state_writes),
        "role": layer.role,
        "nodes": list(layer.nodes),
    }


def graph_document(graph: LayerGraph) -> dict[str, Any]:
    """The whole graph: its layers in execution order, totals and warnings.

    ``totals.weight_bytes`` and ``totals.parameters`` count shared constants once, so the former may be less
    than the sum over layers.
    """
    return {
        "model": graph.name,
        "batch": graph.batch,
        "layers": [layer_document(layer) for layer in graph],
        "totals": {
            "layers": len(graph),
            "complete": graph.complete,
            "macs": graph.macs,
            "parameters": graph.parameters,
            "weight_bytes": _bytes(graph.parameter_tensors()),
            "peak_activation_bytes": int(graph.live_bytes().max(initial=0)),
            "gather_bytes": sum(_bytes(gather.rows for gather in layer.gathers) for layer in graph),
            "state_read_bytes": sum(_bytes(layer.state_reads) for layer in graph),
            "state_write_bytes": sum(_bytes(layer.state_writes) for layer in graph),
        },
        "warnings": list(graph.warnings),
    }
