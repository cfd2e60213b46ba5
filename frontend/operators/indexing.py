"""Look-ups: of constant tables (embeddings) and of activations."""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.registry import MICROSOFT, ML, Treatment, lowers, rule
from layerweaver.frontend.node.values import (
    FOLD_LIMIT,
    Array,
    Info,
    ShapeConflictError,
    integers,
    storable,
    text,
)
from layerweaver.frontend.node.work import GatherRead, Step
from layerweaver.frontend.operators.movement import MOVE, move_step
from layerweaver.ir import DType, LayerKind, VectorCategory


@lowers("Gather", "GatherND", "GatherElements", treatment=Treatment.GATHER, category=MOVE)
@lowers("ArrayFeatureExtractor", domain=ML, treatment=Treatment.GATHER, category=MOVE)
def gather(operation: Operation) -> Step:
    """Rows of a constant table are fetched from DRAM; rows of an activation are moved on chip."""
    rows = operation.output_elements()
    if not operation.constant(0):
        return move_step(operation, rows, ())
    return Step(
        LayerKind.GATHER,
        vector=(operation.vector(MOVE, rows),),
        gathers=(GatherRead(operation.input_name(0), rows, operation.batched),),
    )


@lowers("GatherBlockQuantized", domain=MICROSOFT, treatment=Treatment.GATHER, category=MOVE)
def gather_block_quantized(operation: Operation) -> Step:
    """Rows of a table of small integers, packed in bytes or not, with a scale per block."""
    rows = operation.output_elements()
    if not operation.constant(0):
        return move_step(operation, rows, ())
    table = operation.input(0)
    bits = operation.integer("bits", 4)
    packed = table.dtype is DType.UINT8 and bits < 8
    dtype = _PACKED.get(bits, DType.UINT8) if packed else None
    elements = operation.elements(0) * 8 // bits if packed and bits > 0 else None
    block = max(1, operation.integer("block_size", 128))
    gathers = [GatherRead(table.name, rows, operation.batched, elements, dtype)]
    for index, values in ((2, rows // block), (3, rows // block)):
        if operation.constant(index):
            gathers.append(GatherRead(operation.input_name(index), values, operation.batched))
    return Step(LayerKind.GATHER, vector=(operation.vector(MOVE, rows),), gathers=tuple(gathers))


_PACKED = {2: DType.UINT2, 4: DType.UINT4, 8: DType.UINT8}


@lowers("EmbedLayerNormalization", domain=MICROSOFT, treatment=Treatment.GATHER)
def embed_layer_normalization(operation: Operation) -> Step:
    """Word, position and segment embeddings, their sum and its normalisation."""
    batch, tokens, width = operation.output_shape(0, least_rank=3)[:3]
    rows = batch * tokens * width
    gathers = [GatherRead(operation.input_name(2), rows, operation.batched)]
    gathers.append(GatherRead(operation.input_name(3), tokens * width, False))
    if operation.constant(4):
        gathers.append(GatherRead(operation.input_name(4), rows, operation.batched))
    return Step(
        LayerKind.GATHER,
        vector=(
            operation.vector(MOVE, rows),
            operation.vector(VectorCategory.ELEMENTWISE, rows, window=2),
            operation.vector(VectorCategory.NORMALIZATION, rows),
        ),
        gathers=tuple(gathers),
        weights=operation.weights(5, 6),
    )


_FAR = 1 << 62
"""Beyond the end of any axis."""


@rule("Gather", roots_from=(0,))
def _gather(call: Call) -> tuple[Info]:
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


@rule("GatherElements", roots_from=(0,))
def _gather_elements(call: Call) -> tuple[Info]:
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


@rule("GatherND", roots_from=(0,))
def _gather_nd(call: Call) -> tuple[Info]:
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


def _slice_bounds(call: Call, rank: int) -> tuple[list[int], list[int], list[int], list[int], bool]:
    """Starts, ends, axes and steps, and whether they only bound the slice."""
    starts, ends, axes, steps = _slice_lists(call)
    bounded = starts is None or ends is None
    if starts is None or ends is None:
        count = len(starts or ends or axes or ()) or call.elements(1)
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


@rule("Slice", roots_from=(0,))
def _slice(call: Call) -> tuple[Info]:
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
        call.note(f"what it cuts out depends on data: taken as {text(result)}, the most")
        return (Info(found.dtype, tuple(result), upper=True),)
    value = None if found.value is None else storable(found.value[tuple(cuts)], found.dtype, tuple(result))
    return (Info(found.dtype, tuple(result), value),)


@rule("ScatterND", "ScatterElements", "Scatter", roots_from=(0, 2))
def _scatter(call: Call) -> tuple[Info]:
    found, shape = call.info(0), call.shape(0)
    return (Info(found.dtype, shape, _scattered(call, shape)),)


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


@rule("TensorScatter", roots_from=(0, 1))
def _tensor_scatter(call: Call) -> tuple[Info]:
    return call.like(0)


@rule("OneHot", roots_from=(2,))
def _one_hot(call: Call) -> tuple[Info]:
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


@rule("TopK")
def _top_k(call: Call) -> tuple[Info, Info]:
    found, shape = call.info(0), call.shape(0)
    axis = call.axis(call.integer("axis", -1), len(shape))
    if call.has(1):
        known = call.value(1)
        if known is None:
            count = shape[axis]
            call.note(f"k depends on data: taken as {count}, all elements along axis {axis}")
            result = shape
            return Info(found.dtype, result, upper=True), Info(DType.INT64, result, upper=True)
        count = int(known.ravel()[0]) if known.size else 0
    else:
        count = call.integer("k", 0)
    if count > shape[axis] or count < 0:
        raise ShapeConflictError(f"k = {count} is out of range for axis {axis} of {text(shape)}")
    result = (*shape[:axis], count, *shape[axis + 1 :])
    values = indices = None
    if found.value is not None:
        ordered = found.value if not call.integer("largest", 1) else -found.value.astype(np.float64)
        order = np.argsort(ordered, axis=axis, kind="stable").take(range(count), axis)
        indices = storable(order, DType.INT64, result)
        values = storable(np.take_along_axis(found.value, order, axis), found.dtype, result)
    return Info(found.dtype, result, values), Info(DType.INT64, result, indices)


@rule("NonZero")
def _non_zero(call: Call) -> tuple[Info]:
    shape, value = call.shape(0), call.value(0)
    rank = len(shape) or 1
    if value is not None:
        places = np.array(np.nonzero(np.atleast_1d(value)), dtype=np.int64).reshape(rank, -1)
        return (Info(DType.INT64, places.shape, storable(places, DType.INT64, places.shape)),)
    bound = (rank, math.prod(shape))
    call.note(f"how many elements are nonzero depends on data: taken as all {bound[1]}")
    return (Info(DType.INT64, bound, upper=True),)


@rule("Compress", roots_from=(0,))
def _compress(call: Call) -> tuple[Info]:
    found, shape, keep = call.info(0), call.shape(0), call.value(1)
    flat = "axis" not in call.attributes
    axis = 0 if flat else call.axis(call.integer("axis", 0), len(shape))
    extent = math.prod(shape) if flat else shape[axis]
    count = extent
    if keep is not None:
        count = int(np.count_nonzero(keep.ravel()[:extent]))
    else:
        count = min(extent, call.elements(1))
        call.note(f"how many elements are kept depends on data: taken as {count}")
    result = (count,) if flat else (*shape[:axis], count, *shape[axis + 1 :])
    value = None
    if found.value is not None and keep is not None:
        data = found.value.ravel() if flat else found.value
        value = storable(np.compress(keep.ravel()[:extent].astype(bool), data, axis), found.dtype, result)
    return (Info(found.dtype, result, value, upper=keep is None),)


@rule("Unique")
def _unique(call: Call) -> tuple[Info, ...]:
    found, shape = call.info(0), call.shape(0)
    flat = "axis" not in call.attributes
    axis = 0 if flat else call.axis(call.integer("axis", 0), len(shape))
    extent = math.prod(shape) if flat else shape[axis]
    count, known = extent, found.value is not None
    if found.value is not None:
        data = found.value.ravel() if flat else found.value
        count = int(np.unique(data, axis=axis).shape[axis]) if data.size else 0
    else:
        call.note(f"how many elements are unique depends on data: taken as all {count}")
    result = (count,) if flat else (*shape[:axis], count, *shape[axis + 1 :])
    vector = Info(DType.INT64, (count,), upper=not known)
    inverse = Info(DType.INT64, (extent,))
    return (
        Info(found.dtype, result, upper=not known),
        vector,
        inverse,
        Info(DType.INT64, (count,), upper=not known),
    )


@rule("NonMaxSuppression")
def _non_max_suppression(call: Call) -> tuple[Info]:
    boxes, scores = call.shape(0), call.shape(1)
    if len(boxes) != 3 or len(scores) != 3:
        raise ShapeConflictError(f"boxes of {text(boxes)} and scores of {text(scores)} do not fit")
    limit = call.value(2)
    per_class = (
        int(limit.ravel()[0]) if limit is not None and limit.size else (boxes[1] if call.has(2) else 0)
    )
    per_class = min(max(per_class, 0), boxes[1])
    bound = scores[0] * scores[1] * per_class
    if bound:
        call.note(f"how many boxes are selected depends on data: taken as {bound}")
    return (Info(DType.INT64, (bound, 3), upper=True),)
