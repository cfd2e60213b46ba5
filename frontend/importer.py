"""Import of ONNX models: reading, binding of shapes, lowering to layers, fusion."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layerweaver.frontend.fusion import fuse_drafts
from layerweaver.frontend.lowering.building import build
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model
from layerweaver.frontend.reader.model import OnnxModel
from layerweaver.frontend.resolve.resolve import resolve
from layerweaver.ir import LayerGraph

__all__ = ["import_model"]

_AS_IT_IS = ImportOptions()


def import_model(model: OnnxModel | str | Path, options: ImportOptions = _AS_IT_IS) -> LayerGraph:
    """Read, bind and lower an ONNX model.

    Args:
        model: Path of a file, or a model that was read already.
        options: What the file leaves open.

    Raises:
        ModelError: If the file cannot be read, a dimension stays unbound, an operator's operands are wrong,
            a name does not exist, or ``strict`` finds something unknown.
    """
    with _collector_paused():
        read = model if isinstance(model, OnnxModel) else read_model(model)
        drafts = build(resolve(read, options), options)
        if options.fuse:
            fuse_drafts(drafts)
        graph = drafts.layers()
        return graph if options.batch is None else graph.with_batch(options.batch)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Without the search for cycles: an import makes none, but objects enough to be searched many times."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
