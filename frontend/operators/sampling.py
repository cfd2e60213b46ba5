"""Resizing and sampling of images."""

from __future__ import annotations

from layerweaver.frontend.operation import Lowered, Operation, Step, View
from layerweaver.frontend.operators.elementwise import ELEMENTWISE, vector_step
from layerweaver.frontend.operators.movement import move_step
from layerweaver.frontend.registry import NCHWC, lowers

_POINTS = {"linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}


@lowers("Resize", "Upsample", category=ELEMENTWISE)
@lowers("Upsample", domain=NCHWC, category=ELEMENTWISE)
def resize(operation: Operation) -> Lowered:
    """Interpolate between 2 (linear) or 4 (cubic) points per resized axis; nearest only moves."""
    before, after = operation.shape(0), operation.output_shape()
    resized = sum(1 for old, new in zip(before, after, strict=False) if old != new)
    if resized == 0:
        return View(0)
    points = _POINTS.get(operation.text("mode", "nearest"))
    if points is None:
        return move_step(operation, operation.output_elements(), ())
    window = points ** min(resized, 3)
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), window=window, parameters=())


@lowers("GridSample", category=ELEMENTWISE)
def grid_sample(operation: Operation) -> Step:
    """Interpolate between the neighbours of a point, on 2 or 3 axes."""
    axes = max(1, len(operation.shape(0)) - 2)
    points = _POINTS.get(operation.text("mode", "linear"), 1)
    return vector_step(
        operation, ELEMENTWISE, operation.output_elements(), window=points ** min(axes, 3), parameters=(0, 1)
    )


@lowers("AffineGrid", category=ELEMENTWISE)
def affine_grid(operation: Operation) -> Step:
    """A small affine map per point."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), window=3, parameters=(0,))


@lowers("ImageDecoder", category=ELEMENTWISE)
def image_decoder(operation: Operation) -> Step:
    """One pass over the decoded image."""
    return vector_step(operation, ELEMENTWISE, operation.output_elements(), parameters=())
