"""Shape and value propagation: from a model as read to one with every dimension bound.

:func:`resolve` binds the inputs, walks the graph once in execution order with one small rule per
operator, folds integer shape arithmetic on the way, inlines functions, chooses branches and counts loops.
"""

from __future__ import annotations

import numpy as np

from layerweaver.frontend.node.registry import load_operators
from layerweaver.frontend.node.resolved import ResolvedGraph
from layerweaver.frontend.node.values import ELEMENT_LIMIT, Info, text
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.model import OnnxModel, ValueInfo
from layerweaver.frontend.resolve.binding import Binding, bind
from layerweaver.frontend.resolve.control import CONTROL
from layerweaver.frontend.resolve.functions import call_function
from layerweaver.frontend.resolve.scope import Scope
from layerweaver.frontend.resolve.walk import Walker
from layerweaver.ir.errors import ModelError

__all__ = ["resolve"]


_AS_IT_IS = ImportOptions()


def resolve(model: OnnxModel, options: ImportOptions = _AS_IT_IS) -> ResolvedGraph:
    """Bind every dimension of ``model`` and flatten it.

    Args:
        model: As read.
        options: What the file leaves open. A model exported at a fixed batch is resolved at that batch:
            rescaling is the layer graph's.

    Returns:
        The flat graph; its ``batch`` is what was bound here.

    Raises:
        ModelError: A dimension is not bound, a name is unknown, shapes contradict each other, or the
            graph is malformed (cycles, values from nowhere, impossible sizes).
    """
    binding = bind(model, options)
    walker = Walker(
        model,
        binding.dims,
        binding.pinned,
        options.trip_counts,
        registry=load_operators(),
        control=CONTROL,
        call=call_function,
    )
    opsets = {
        ("" if domain == "ai.onnx" else domain): version for domain, version in model.opset_imports.items()
    }
    declared = {**{value.name: value for value in model.graph.outputs}, **model.graph.value_infos}
    scope = Scope(None, "", opsets, declared)
    inputs = [_input(walker, value, binding) for value in model.graph.inputs if value.name in binding.shapes]
    for info in inputs:
        scope.env[info.name] = info
    with np.errstate(all="ignore"):
        outputs = walker.graph(model.graph, scope)
    _check_trip_counts(walker)
    return ResolvedGraph(
        source=model.source,
        nodes=tuple(walker.nodes),
        values=walker.infos,
        inputs=tuple(info.name for info in inputs),
        outputs=tuple(info.name for info in outputs),
        output_aliases=tuple(value.name for value in model.graph.outputs),
        batch=binding.batch,
        warnings=(*binding.warnings, *walker.warnings),
    )


def _input(walker: Walker, value: ValueInfo, binding: Binding) -> Info:
    shape = binding.shapes[value.name]
    size = 1
    for extent in shape or ():
        size *= extent
    if size > ELEMENT_LIMIT:
        raise ModelError(f"input {value.name} of {text(shape or ())} is too large", where=walker.source)
    if value.name in walker.infos:
        raise ModelError(f"input {value.name} is declared twice", where=walker.source)
    info = walker.add(value.name, Info(value.dtype, shape))
    info.batched = True
    return info


def _check_trip_counts(walker: Walker) -> None:
    unused = [name for name in walker.trip_counts if name not in walker.used_trip_counts]
    if unused:
        raise ModelError(f"no loop is named {unused[0]}", where=walker.source)
