"""Selections whose size depends on the data: upper bounds where it is not known."""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.node.registry import operator
from layerweaver.frontend.node.values import Info, ShapeConflictError, storable, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Step
from layerweaver.frontend.operators.elementwise import vector_step
from layerweaver.frontend.operators.movement import MOVE, move
from layerweaver.frontend.operators.reduction import REDUCTION, reduction
from layerweaver.ir import DType


def _top_k_shape(call: Call) -> tuple[Info, Info]:
    found, shape = call.info(0), call.shape(0)
    axis = call.axis(call.integer("axis", -1), len(shape))
    if call.has(1):
        known = call.value(1)
        if known is None:
            count = shape[axis]
            call.note(f"k depends on data: taken as {count}, all elements along axis {axis}", of=1)
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


@operator("TopK", shape=_top_k_shape, category=REDUCTION)
def top_k(call: Call) -> Step:
    """A heap of k per row: the input's elements times the depth of the heap."""
    shape = call.shape(0, least_rank=1)
    kept = call.output_shape(0, least_rank=1)
    axis = call.integer("axis", -1)
    most = kept[axis] if -len(kept) <= axis < len(kept) else 1
    depth = max(1, math.ceil(math.log2(max(2, most))))
    return vector_step(call, REDUCTION, math.prod(shape), window=depth, parameters=(0,))


def _non_max_suppression_shape(call: Call) -> tuple[Info]:
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


@operator("NonMaxSuppression", shape=_non_max_suppression_shape, category=REDUCTION)
def non_max_suppression(call: Call) -> Step:
    """Boxes are sorted by score and compared with those already kept (at most)."""
    boxes = call.shape(0, least_rank=3)
    depth = max(1, math.ceil(math.log2(max(2, boxes[1]))))
    return vector_step(call, REDUCTION, call.elements(1), window=depth, parameters=(0,))


def _non_zero_shape(call: Call) -> tuple[Info]:
    shape, value = call.shape(0), call.value(0)
    rank = len(shape) or 1
    if value is not None:
        places = np.array(np.nonzero(np.atleast_1d(value)), dtype=np.int64).reshape(rank, -1)
        return (Info(DType.INT64, places.shape, storable(places, DType.INT64, places.shape)),)
    size, most = math.prod(shape), call.info(0).most
    bound = (rank, size if most is None else min(size, most))
    taken = f"all {size}" if bound[1] == size else f"{bound[1]}, an even share"
    call.note(f"how many elements are nonzero depends on data: taken as {taken}")
    return (Info(DType.INT64, bound, upper=True),)


def _compress_shape(call: Call) -> tuple[Info]:
    found, shape, keep = call.info(0), call.shape(0), call.value(1)
    flat = "axis" not in call.attributes
    axis = 0 if flat else call.axis(call.integer("axis", 0), len(shape))
    extent = math.prod(shape) if flat else shape[axis]
    count = extent
    if keep is not None:
        count = int(np.count_nonzero(keep.ravel()[:extent]))
    else:
        most = call.info(1).most
        count = min(extent, math.prod(call.shape(1)))
        count = count if most is None else min(count, most)
        call.note(f"how many elements are kept depends on data: taken as {count}")
    result = (count,) if flat else (*shape[:axis], count, *shape[axis + 1 :])
    value = None
    if found.value is not None and keep is not None:
        data = found.value.ravel() if flat else found.value
        value = storable(np.compress(keep.ravel()[:extent].astype(bool), data, axis), found.dtype, result)
    return (Info(found.dtype, result, value, upper=keep is None),)


def _unique_shape(call: Call) -> tuple[Info, ...]:
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


operator("Compress", shape=_compress_shape, category=MOVE, roots_from=(0,))(move)


operator("NonZero", shape=_non_zero_shape, category=REDUCTION)(reduction)


operator("Unique", shape=_unique_shape, category=REDUCTION)(reduction)
