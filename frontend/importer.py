"""Import of ONNX models: reading, binding of shapes, lowering to layers, fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from layerweaver.frontend.fusion import fuse_drafts
from layerweaver.frontend.lowering.building import Building
from layerweaver.frontend.lowering.draft import DraftGraph
from layerweaver.frontend.node.registry import Registry, load_operators
from layerweaver.frontend.node.resolved import ResolvedGraph
from layerweaver.frontend.reader.file import read_model
from layerweaver.frontend.reader.model import OnnxModel
from layerweaver.frontend.resolve.resolve import resolve
from layerweaver.ir import LayerGraph

__all__ = ["build_drafts", "import_model", "lower"]


def import_model(
    model: OnnxModel | str | Path,
    *,
    dims: Mapping[str, int] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    trip_counts: Mapping[str, int] | None = None,
    strict: bool = False,
    fuse: bool = True,
    state: Sequence[tuple[str, str]] | None = None,
) -> LayerGraph:
    """Read, bind and lower an ONNX model.

    A symbolic batch is bound to ``batch``. A model exported at a fixed batch is bound as it is and rescaled
    afterwards: activations and work grow, weights do not.

    Args:
        model: Path of a file, or a model that was read already.
        dims: Values of symbolic dimensions.
        shapes: Shapes of inputs; they override what the file says.
        batch: Batch size; None keeps the file's.
        trip_counts: Iterations of loops whose number depends on data, by node name.
        strict: Refuse unknown operators and work of unknown size instead of warning.
        fuse: Merge what a compiler would.
        state: Pairs of inputs and outputs that carry state, besides those that are recognised.

    Raises:
        ModelError: If the file cannot be read, a dimension stays unbound, or an operator's operands are
            wrong.
    """
    read = model if isinstance(model, OnnxModel) else read_model(model)
    load_operators()  # plug-ins bring rules for shapes too
    resolved = resolve(read, dims=dims or {}, shapes=shapes or {}, batch=batch, trip_counts=trip_counts or {})
    graph = lower(resolved, strict=strict, fuse=fuse, state=state)
    return graph if batch is None else graph.with_batch(batch)


def lower(
    resolved: ResolvedGraph,
    *,
    strict: bool = False,
    fuse: bool = True,
    state: Sequence[tuple[str, str]] | None = None,
    registry: Registry | None = None,
) -> LayerGraph:
    """Turn a bound graph into layers.

    Args:
        resolved: The flat graph with every shape bound.
        strict: Refuse operators that nobody knows and work that depends on unknown shapes; otherwise both
            are costed by their tensors' sizes with a warning.
        fuse: Merge what a compiler would; without it every node that is not a view is a layer.
        state: Pairs of graph inputs and outputs that carry state, besides those that are recognised.
        registry: Operators; all registered ones by default.

    Raises:
        ModelError: If a node's operands do not fit its operator, a size is beyond all bounds, a name in
            ``state`` does not exist, or ``strict`` finds something unknown.
    """
    building = Building(resolved, strict, tuple(state or ()), registry or load_operators())
    graph = building.build()
    if fuse:
        fuse_drafts(graph)
    layers = [building.layer(graph, draft) for draft in graph.drafts()]
    return LayerGraph(
        resolved.source,
        layers,
        inputs=building.graph_inputs(),
        outputs=building.graph_outputs(),
        batch=max(1, resolved.batch),
        warnings=(*resolved.warnings, *building.warnings),
    )


def build_drafts(resolved: ResolvedGraph) -> DraftGraph:
    """The drafts that :func:`lower` starts from, before fusion."""
    return Building(resolved, False, (), load_operators()).build()
