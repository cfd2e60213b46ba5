"""Resizing and sampling of images."""

from __future__ import annotations

import math

import numpy as np

from layerweaver.frontend.node.registry import MICROSOFT, NCHWC, operator, shape_only
from layerweaver.frontend.node.values import Array, Info, ShapeConflictError, UnknownShapeError, text
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered, Step, View
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, vector_step
from layerweaver.frontend.operators.movement import move_step
from layerweaver.ir.text import counted

_POINTS = {"linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}


def _floats(value: Array | None) -> list[float] | None:
    return None if value is None or not value.size else [float(item) for item in value.ravel().tolist()]


def _scaled(shape: tuple[int, ...], scales: list[float], axes: list[int]) -> tuple[int, ...]:
    if len(scales) != len(axes):
        raise ShapeConflictError(
            f"{counted(len(scales), 'scale')} for {counted(len(axes), 'axis', 'axes')} of {text(shape)}"
        )
    result = list(shape)
    for axis, scale in zip(axes, scales, strict=True):
        if not (math.isfinite(scale) and scale > 0):
            raise ShapeConflictError(f"scale {scale} is not positive")
        result[axis] = math.floor(np.float32(shape[axis]) * np.float32(scale))  # as runtimes round
    return tuple(result)


def _resized(call: Call, shape: tuple[int, ...], scales: list[float] | None) -> tuple[int, ...]:
    listed = call.integer_list("axes")
    axes = list(range(len(shape))) if listed is None else [call.axis(axis, len(shape)) for axis in listed]
    if scales is not None:
        return _scaled(shape, scales, axes)
    sizes = call.integers(3)
    if len(sizes) != len(axes) or min(sizes, default=1) < 0:
        raise ShapeConflictError(
            f"sizes {sizes} do not fit {counted(len(axes), 'axis', 'axes')} of {text(shape)}"
        )
    policy = call.text("keep_aspect_ratio_policy", "stretch")
    result = list(shape)
    if policy != "stretch" and sizes:
        ratios = [size / max(shape[axis], 1) for size, axis in zip(sizes, axes, strict=True)]
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        sizes = [math.floor(ratio * shape[axis] + 0.5) for axis in axes]
    for axis, size in zip(axes, sizes, strict=True):
        result[axis] = size
    return tuple(result)


def _resize_shape(call: Call) -> tuple[Info]:
    shape, dtype = call.shape(0), call.dtype(0)
    if call.opset < 11:
        scales = _floats(call.value(1))
        if scales is None:
            raise UnknownShapeError("its scales depend on data", call.info(1))
        return (Info(dtype, _scaled(shape, scales, list(range(len(shape))))),)
    scales = _floats(call.value(2))
    if call.text("coordinate_transformation_mode", "") == "tf_crop_and_resize" and scales is not None:
        region = _floats(call.value(1))
        if region is None:
            raise UnknownShapeError("its region depends on data", call.info(1))
        count = len(scales)
        spans = [max(region[axis + count] - region[axis], 0.0) for axis in range(count)]
        spread = [shape[axis] * spans[axis] * scales[axis] for axis in range(count)]
        return (Info(dtype, tuple(math.floor(extent) for extent in spread)),)
    if scales is None and not call.has(3):
        raise UnknownShapeError(
            "neither its scales nor its sizes are known", call.info(2) if call.has(2) else None
        )
    return (Info(dtype, _resized(call, shape, scales)),)


def _upsample_shape(call: Call) -> tuple[Info]:
    shape, dtype = call.shape(0), call.dtype(0)
    scales = _floats(call.value(1)) if call.has(1) else None
    if call.has(1) and scales is None:
        raise UnknownShapeError("its scales depend on data", call.info(1))
    if scales is None:
        found = call.attributes.get("scales")
        if isinstance(found, tuple):
            scales = [float(item) for item in found if isinstance(item, int | float)]
        elif "height_scale" in call.attributes:
            scales = [1.0, 1.0, call.real("height_scale", 1.0), call.real("width_scale", 1.0)]
    if scales is None:
        raise ShapeConflictError("it names no scales")
    return (Info(dtype, _scaled(shape, scales, list(range(len(shape))))),)


@operator("Resize", shape=_resize_shape, category=ELEMENTWISE, roots_from=(0,))
@operator("Upsample", shape=_upsample_shape, category=ELEMENTWISE, roots_from=(0,))
@operator("Upsample", domain=NCHWC, shape=_upsample_shape, category=ELEMENTWISE, roots_from=(0,))
def resize(call: Call) -> Lowered:
    """Interpolate between 2 (linear) or 4 (cubic) points per resized axis; nearest only moves."""
    before, after = call.shape(0), call.output_shape()
    resized = sum(1 for old, new in zip(before, after, strict=False) if old != new)
    if resized == 0:
        return View(0)
    points = _POINTS.get(call.text("mode", "nearest"))
    if points is None:
        return move_step(call, call.output_elements(), ())
    window = points ** min(resized, 3)
    return vector_step(call, ELEMENTWISE, call.output_elements(), window=window, parameters=())


def grid_sample_shape(call: Call) -> tuple[Info]:
    """Shape rule of sampling at the points of a grid."""
    shape, grid = call.shape(0), call.shape(1)
    if len(grid) != len(shape) or grid[0] != shape[0] or grid[-1] != len(shape) - 2:
        raise ShapeConflictError(f"a grid of {text(grid)} does not fit an input of {text(shape)}")
    return (Info(call.dtype(0), (*shape[:2], *grid[1:-1])),)


@operator("GridSample", shape=grid_sample_shape, category=ELEMENTWISE)
def grid_sample(call: Call) -> Step:
    """Interpolate between the neighbours of a point, on 2 or 3 axes."""
    axes = max(1, len(call.shape(0)) - 2)
    points = _POINTS.get(call.text("mode", "linear"), 1)
    return vector_step(
        call, ELEMENTWISE, call.output_elements(), window=points ** min(axes, 3), parameters=(0, 1)
    )


def _affine_grid_shape(call: Call) -> tuple[Info]:
    size = call.integers(1)
    if len(size) not in (4, 5) or min(size) < 0:
        raise ShapeConflictError(f"{size} is not the size of an image")
    return (Info(call.dtype(0), (size[0], *size[2:], len(size) - 2)),)


@operator("AffineGrid", shape=_affine_grid_shape, category=ELEMENTWISE, roots_from=(0,))
def affine_grid(call: Call) -> Step:
    """A small affine map per point."""
    return vector_step(call, ELEMENTWISE, call.output_elements(), window=3, parameters=(0,))


def _image_decoder_shape(call: Call) -> tuple[Info]:
    raise UnknownShapeError(f"the size of the image {call.info(0).name} depends on data")


@operator("ImageDecoder", shape=_image_decoder_shape, category=ELEMENTWISE)
def image_decoder(call: Call) -> Step:
    """One pass over the decoded image."""
    return vector_step(call, ELEMENTWISE, call.output_elements(), parameters=())


def _crop_shape(call: Call) -> tuple[Info]:
    shape, border = call.shape(0), call.integer_list("border") or [0, 0, 0, 0]
    scale = call.integer_list("scale")
    if len(shape) != 4 or len(border) != 4:
        raise ShapeConflictError(f"cannot crop {text(shape)} by {border}")
    left, top, right, bottom = border
    size = scale or [shape[2] - top - bottom, shape[3] - left - right]
    return (Info(call.dtype(0), (*shape[:2], *size)),)


def _crop_and_resize_shape(call: Call) -> tuple[Info]:
    size = call.integers(3)
    return (Info(call.dtype(0), (call.shape(1)[0], call.shape(0)[1], *size)),)


shape_only("Crop", shape=_crop_shape, domain="", roots_from=(0,))


@operator("CropAndResize", domain=MICROSOFT, shape=_crop_and_resize_shape, category=ELEMENTWISE)
def crop_and_resize(call: Call) -> Step:
    """Interpolate between the neighbours of every point of every region."""
    window = 1 if call.text("mode", "bilinear") == "nearest" else 4
    return vector_step(call, ELEMENTWISE, call.output_elements(), window=window, parameters=())
