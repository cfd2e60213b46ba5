"""Layer graphs that a caller gives instead of a model's file, known in this process by what they hold."""

from __future__ import annotations

import hashlib

from layerweaver.ir import LayerGraph, ModelError

__all__ = ["GRAPH_PREFIX", "give", "given", "names_file"]

GRAPH_PREFIX = "graph:"
_given: dict[str, LayerGraph] = {}


def names_file(reference: str) -> bool:
    """Whether a model's reference is the path of a file: neither of the zoo nor a graph that was given."""
    return not reference.startswith(("zoo:", GRAPH_PREFIX))


def give(graph: LayerGraph) -> str:
    """Make a graph known in this process.

    Returns:
        What it goes by wherever a model is named: its name and a digest of its layers.
    """
    held = repr((graph.batch, graph.layers, graph.inputs, graph.outputs, graph.lacking))
    reference = f"{GRAPH_PREFIX}{graph.name}@{hashlib.sha256(held.encode()).hexdigest()[:16]}"
    _given[reference] = graph
    return reference


def given(reference: str) -> LayerGraph:
    """The graph that was given under a reference.

    Raises:
        ModelError: If none was.
    """
    if reference not in _given:
        raise ModelError(
            "no graph was given by that name", where=reference[:200], accepted="zoo:NAME or a path"
        )
    return _given[reference]
