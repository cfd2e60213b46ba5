"""Import of ONNX models: reading, binding of shapes, lowering to layers, fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from layerweaver.frontend.lower import lower
from layerweaver.frontend.model import OnnxModel
from layerweaver.frontend.propagate import resolve
from layerweaver.frontend.reader import read_model
from layerweaver.frontend.registry import load_operators
from layerweaver.ir import LayerGraph

__all__ = ["import_model"]


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
