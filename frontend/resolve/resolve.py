"""Shape and value propagation: from a model as read to one with every dimension bound.

:func:`resolve` binds the inputs, walks the graph in execution order with one small rule per operator (again
where a fixed size lowers an assumed bound), folds integer shape arithmetic on the way, inlines functions,
chooses branches and counts loops.
"""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.node.registry import load_operators
from layerweaver.frontend.node.resolved import ResolvedGraph
from layerweaver.frontend.node.values import Info, text
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.model import OnnxModel, ValueInfo
from layerweaver.frontend.resolve.batch_axis import fixed_batch
from layerweaver.frontend.resolve.binding import Binding, bind
from layerweaver.frontend.resolve.control import CONTROL
from layerweaver.frontend.resolve.expressions import parse_dim
from layerweaver.frontend.resolve.fallback import Fitted, RefitError
from layerweaver.frontend.resolve.functions import call_function
from layerweaver.frontend.resolve.live import live_nodes
from layerweaver.frontend.resolve.names import nearest_name
from layerweaver.frontend.resolve.scope import Scope
from layerweaver.frontend.resolve.walk import Walker
from layerweaver.ir.errors import ModelError
from layerweaver.ir.limits import MAX_SHAPE_ELEMENTS

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
    fitted: Fitted = {}
    while True:  # as often as bounds are found that a fixed size lowers, each once
        try:
            walker, inputs, outputs = _walk(model, options, binding, fitted)
        except RefitError:
            continue
        break
    _check_names(walker, options)
    batch, said = binding.batch, ""
    if batch is None:
        batch, said = fixed_batch(model, binding.shapes, [info.shape for info in outputs], options.batch)
    needed = tuple(info.name for info in outputs)
    warnings, lacking = walker.doubts.lines()
    return ResolvedGraph(
        source=model.source,
        nodes=live_nodes(walker.nodes, {*walker.kept, *needed}) if needed else tuple(walker.nodes),
        values=walker.infos,
        inputs=tuple(info.name for info in inputs),
        outputs=needed,
        output_aliases=tuple(value.name for value in model.graph.outputs),
        batch=max(batch, 1),
        warnings=(*binding.warnings, *filter(None, [said]), *warnings),
        lacking=lacking,
    )


def _walk(
    model: OnnxModel, options: ImportOptions, binding: Binding, fitted: Fitted
) -> tuple[Walker, list[Info], list[Info]]:
    """The walker after its walk, and the graph's inputs and outputs."""
    walker = Walker(
        model,
        binding.dims,
        binding.pinned,
        options.values,
        options.trip_counts,
        registry=load_operators(),
        control=CONTROL,
        call=call_function,
        fitted=fitted,
    )
    declared = {**{value.name: value for value in model.graph.outputs}, **model.graph.value_infos}
    scope = Scope(None, "", model.opset_imports, declared)
    inputs = [_input(walker, value, binding) for value in model.graph.inputs if value.name in binding.shapes]
    for info in inputs:
        scope.env[info.name] = info
    with np.errstate(all="ignore"):
        outputs = walker.graph(model.graph, scope)
    for value, info in zip(model.graph.outputs, outputs, strict=True):
        said = walker.declared(value.name, scope).shape
        if said is None or info.shape is None or len(said) != len(info.shape):
            continue
        if sum(mine != its for mine, its in zip(said, info.shape, strict=True)) == 1:
            walker.fit(info, math.prod(said), f"output {value.name}")
    return walker, inputs, outputs


def _input(walker: Walker, value: ValueInfo, binding: Binding) -> Info:
    shape = binding.shapes[value.name]
    if math.prod(shape or ()) > MAX_SHAPE_ELEMENTS:
        raise ModelError(f"input {value.name} of {text(shape or ())} is too large", where=walker.source)
    if value.name in walker.infos:
        raise ModelError(f"input {value.name} is declared twice", where=walker.source)
    info = walker.add(value.name, Info(value.dtype, shape))
    info.batched = True
    if value.name in walker.values:
        walker.state(info, value.name, ModelError("", where=f"{walker.source}: input {value.name}"))
    return info


def _check_names(walker: Walker, options: ImportOptions) -> None:
    """Refuse trip counts and values of what the model lacks, and dimensions that it makes otherwise."""
    for name in options.trip_counts:
        if name not in walker.used_trip_counts:
            loops = ", ".join(walker.loops) or "none"
            raise ModelError(f"no loop is named {name}", where=walker.source, accepted=f"its loops: {loops}")
    for name in options.values:
        if name not in walker.used_values:
            if name in walker.infos:
                what = f"--value {name} is of a constant, whose value the model holds"
                raise ModelError(what, where=walker.source, accepted="leave it out")
            accepted = nearest_name(name, list(walker.infos), "values")
            raise ModelError(f"no value is named {name}", where=walker.source, accepted=accepted)
    for name, extent in options.dims.items():
        made = _made(walker, name)
        if made and extent not in made.values():
            value, own = next(iter(made.items()))
            raise ModelError(
                f"dimension {name} is {extent}, but it is only of {value}, where the graph makes it {own}",
                where=walker.source,
                accepted=f"leave {name} out",
            )


def _made(walker: Walker, name: str) -> dict[str, int]:
    """What a dimension that no input has comes to, by the value that has it."""
    graph = walker.model.graph
    dims = [dim for value in graph.inputs for dim in value.shape or () if isinstance(dim, str)]
    if any(name == dim or name in parse_dim(dim).names for dim in dims):
        return {}
    made = {}
    for value in (*graph.outputs, *graph.value_infos.values()):
        info = walker.infos.get(value.name)
        shape = None if info is None else info.shape
        if shape is not None and name in (value.shape or ()) and len(shape) == len(value.shape or ()):
            made[value.name] = shape[(value.shape or ()).index(name)]
    return made
