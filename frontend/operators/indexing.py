"""Look-ups: of constant tables (embeddings) and of activations."""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.node.registry import GATHER, ML, like_first, operator
from layerweaver.frontend.node.values import (
    FOLD_LIMIT,
    Array,
    Info,
    ShapeConflictError,
    integers,
    storable,
    text,
)
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import GatherRead, Lowered, Step, View
from layerweaver.frontend.operators.movement import MOVE, move, move_step
from layerweaver.ir import LayerKind


def _gather_shape(call: Call) -> tuple[Info]:
    found, indices = call.info(0), call.info(1)
    shape, index_shape = call.shape(0), call.shape(1)
    axis = call.axis(call.integer("axis", 0), len(shape))
    result = (*shape[:axis], *index_shape, *shape[axis + 1 :])
    value = None
    if found.value is not None and indices.value is not None and math.prod(result) <= FOLD_LIMIT:
        places = indices.value
        extent = shape[axis]
        if places.size and (int(places.min()) < -extent or int(places.max()) >= extent):
            raise ShapeConflictError(
                f"index {places.ravel().tolist()[:4]} is out of range for {extent} elements"
            )
        value = storable(np.asarray(found.value.take(places, axis)), found.dtype, result)
    return (Info(found.dtype, result, value),)


def _gather_nd_shape(call: Call) -> tuple[Info]:
    found, shape, index_shape = call.info(0), call.shape(0), call.shape(1)
    batch_axes = call.integer("batch_dims", 0)
    if not index_shape or not 0 <= batch_axes < len(index_shape):
        raise ShapeConflictError(f"cannot gather from {text(shape)} by indices of {text(index_shape)}")
    depth = index_shape[-1]
    if batch_axes + depth > len(shape):
        raise ShapeConflictError(f"indices of {text(index_shape)} are too deep for {text(shape)}")
    result = (*index_shape[:-1], *shape[batch_axes + depth :])
    value, indices = None, call.value(1)
    if (
        batch_axes == 0
        and found.value is not None
        and indices is not None
        and math.prod(result) <= FOLD_LIMIT
    ):
        places = tuple(indices[..., axis] for axis in range(depth))
        inside = all(
            not place.size or (-extent <= int(place.min()) and int(place.max()) < extent)
            for place, extent in zip(places, shape, strict=False)
        )
        if inside:
            value = storable(np.asarray(found.value[places]), found.dtype, result)
    return (Info(found.dtype, result, value),)


def _gather_elements_shape(call: Call) -> tuple[Info]:
    found, indices, shape = call.info(0), call.value(1), call.shape(1)
    value = None
    if found.value is not None and indices is not None and found.value.ndim == indices.ndim:
        axis = call.axis(call.integer("axis", 0), len(shape))
        limit = found.value.shape[axis]
        fits = all(extent <= found.value.shape[place] for place, extent in enumerate(shape) if place != axis)
        if fits and indices.size and -limit <= int(indices.min()) and int(indices.max()) < limit:
            grids = list(np.indices(shape))
            grids[axis] = indices
            value = storable(found.value[tuple(grids)], found.dtype, shape)
    return (Info(found.dtype, shape, value),)


def _features_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    head = shape[:-1] if len(shape) > 1 else (1,)
    return (Info(call.dtype(0), (*head, math.prod(call.shape(1)))),)


@operator("Gather", shape=_gather_shape, treatment=GATHER, category=MOVE, roots_from=(0,))
@operator("GatherND", shape=_gather_nd_shape, treatment=GATHER, category=MOVE, roots_from=(0,))
@operator("GatherElements", shape=_gather_elements_shape, treatment=GATHER, category=MOVE, roots_from=(0,))
@operator(
    "ArrayFeatureExtractor",
    domain=ML,
    shape=_features_shape,
    treatment=GATHER,
    category=MOVE,
    roots_from=(0,),
)
def gather(call: Call) -> Step:
    """Rows of a constant table are fetched from DRAM; rows of an activation are moved on chip."""
    rows = call.output_elements()
    if not call.constant(0):
        return move_step(call, rows, ())
    return Step(
        LayerKind.GATHER,
        vector=(call.vector(MOVE, rows),),
        gathers=(GatherRead(call.info(0).name, rows, call.batched),),
    )


def _slice_lists(call: Call) -> tuple[list[int] | None, list[int] | None, list[int] | None, list[int] | None]:
    """Starts, ends, axes and steps; None for starts or ends that depend on data."""
    if "starts" in call.attributes or not call.has(1):
        starts, ends = call.integer_list("starts"), call.integer_list("ends")
        if starts is None or ends is None:
            raise ShapeConflictError("it names no starts and ends")
        return starts, ends, call.integer_list("axes"), None
    known = [call.value(index) for index in (1, 2)]
    starts, ends = (None if value is None else integers(value) for value in known)
    axes = call.integers(3) if call.has(3) else None
    return starts, ends, axes, call.integers(4) if call.has(4) else None


_FAR = 1 << 62
"""Beyond the end of any axis."""


def _slice_bounds(call: Call, rank: int) -> tuple[list[int], list[int], list[int], list[int], bool]:
    """Starts, ends, axes and steps, and whether they only bound the slice."""
    starts, ends, axes, steps = _slice_lists(call)
    bounded = starts is None or ends is None
    if starts is None or ends is None:
        count = len(starts or ends or axes or ()) or math.prod(call.shape(1))
        forward = min(steps or [1]) > 0
        kept = starts is not None and forward and min(starts, default=0) >= 0
        starts = starts if starts is not None and kept else [0 if forward else -1] * count
        shortened = ends is not None and forward and not kept
        ends = ends if ends is not None and shortened else [_FAR if forward else -_FAR] * count
    places = list(range(len(starts))) if axes is None else [call.axis(axis, rank) for axis in axes]
    strides = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(places) == len(strides) or len(places) > rank or 0 in strides:
        raise ShapeConflictError(
            f"starts {starts}, ends {ends}, axes {places} and steps {strides} do not fit"
        )
    return starts, ends, places, strides, bounded


def _slice_shape(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    result = list(shape)
    cuts = [slice(None)] * len(shape)
    *bounds, bounded = _slice_bounds(call, len(shape))
    for start, end, axis, step in zip(*bounds, strict=True):
        extent = shape[axis]
        if step > 0:
            first = min(max(start + extent if start < 0 else start, 0), extent)
            last = min(max(end + extent if end < 0 else end, 0), extent)
            count = max(0, -(-(last - first) // step))
            cuts[axis] = slice(first, max(last, first), step)
        else:
            first = min(max(start + extent if start < 0 else start, 0), extent - 1)
            last = min(max(end + extent if end < 0 else end, -1), extent - 1)
            count = max(0, -(-(first - last) // -step))
            cuts[axis] = slice(first, None if last < 0 else last, step)
            if not count:
                cuts[axis] = slice(0, 0)
        result[axis] = count
    if bounded:
        call.note(
            f"what it cuts out depends on data: taken as {text(result)}, the most",
            of=1 if call.value(1) is None else 2,
        )
        return (Info(found.dtype, tuple(result), upper=True),)
    value = None if found.value is None else storable(found.value[tuple(cuts)], found.dtype, tuple(result))
    return (Info(found.dtype, tuple(result), value),)


@operator("Slice", shape=_slice_shape, category=MOVE, roots_from=(0,))
def slice_(call: Call) -> Lowered:
    """Part of the input; the whole of it is a view."""
    if call.op == "Slice" and call.elements(0) == call.output_elements():
        steps = call.value(4)
        if steps is None or bool((steps > 0).all()):
            return View(0)
    return move_step(call, call.output_elements(), (0,))


def _scattered(call: Call, shape: tuple[int, ...]) -> Array | None:
    value, indices, updates = call.value(0), call.value(1), call.value(2)
    if value is None or indices is None or updates is None or not indices.size:
        return None
    if call.text("reduction", "none") != "none":
        return None
    result = value.copy()
    if call.op == "ScatterND":
        depth = indices.shape[-1] if indices.ndim else 0
        if not 0 < depth <= len(shape) or updates.shape != (*indices.shape[:-1], *shape[depth:]):
            raise ShapeConflictError(f"updates of {text(updates.shape)} do not fit {text(shape)}")
        places = tuple(indices[..., axis] for axis in range(depth))
    else:
        if indices.ndim != len(shape) or updates.shape != indices.shape:
            raise ShapeConflictError(f"updates of {text(updates.shape)} do not fit {text(shape)}")
        axis = call.axis(call.integer("axis", 0), len(shape))
        grids: list[Array] = [*np.indices(indices.shape)]
        grids[axis] = indices
        places = tuple(grids)
    for place, extent in zip(places, shape, strict=False):
        if int(place.min()) < -extent or int(place.max()) >= extent:
            raise ShapeConflictError(f"an index is out of range for {text(shape)}")
    result[places] = updates
    return result


def _scatter_shape(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    return (Info(found.dtype, shape, _scattered(call, shape)),)


@operator("Scatter", "ScatterElements", "ScatterND", shape=_scatter_shape, category=MOVE, roots_from=(0, 2))
@operator("TensorScatter", shape=like_first, category=MOVE, roots_from=(0, 1))
def scatter(call: Call) -> Step:
    """The data is updated in place: only what is scattered moves."""
    update = 1 if call.op == "TensorScatter" else 2
    step = move_step(call, call.elements(update), (0, update))
    if call.op != "TensorScatter":
        return step
    rows = {call.node.outputs[0]: call.elements(1)}
    return Step(step.kind, vector=step.vector, weights=step.weights, appended=rows)


def _one_hot_shape(call: Call) -> tuple[Info]:
    shape = call.shape(0)
    depth = call.integers(1)[0]
    axis = call.integer("axis", -1)
    axis = axis + len(shape) + 1 if axis < 0 else axis
    if not 0 <= axis <= len(shape) or depth < 0:
        raise ShapeConflictError(f"axis {axis} or depth {depth} does not fit {text(shape)}")
    result = (*shape[:axis], depth, *shape[axis:])
    value, indices, off_on = None, call.value(0), call.value(2)
    if indices is not None and off_on is not None and off_on.size == 2 and math.prod(result) <= FOLD_LIMIT:
        wrapped = np.where(indices < 0, indices + depth, indices)
        places = np.expand_dims(wrapped, axis)
        counter = np.arange(depth).reshape([depth if place == axis else 1 for place in range(len(result))])
        off, on = off_on.ravel().tolist()
        value = storable(np.where(places == counter, on, off), call.dtype(2), result)
    return (Info(call.dtype(2), result, value),)


operator("OneHot", shape=_one_hot_shape, category=MOVE, roots_from=(2,))(move)
