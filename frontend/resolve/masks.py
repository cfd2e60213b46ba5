"""How many elements of a mask can be true: masks "index == constant" of one index are disjoint.

A router that sends every token to a few of its experts makes one mask per expert. Each alone may hold all
tokens, all together hold each of them once: they share one bound, which is divided evenly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.reader.model import OnnxNode

__all__ = ["MASKING", "bound_masks"]

_KEEPING = frozenset(("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"))
_UNITING = frozenset(("ReduceMax", "ReduceSum", "ReduceL1", "Greater"))
"""Operators whose results are not 0 at most as often as those of their input."""

MASKING = _KEEPING | _UNITING | {"And", "Equal", "OneHot", "Gather", "Slice", "Split"}
"""Operators that masks come from or pass through."""


def bound_masks(call: Call, outputs: Sequence[Info], siblings: Iterable[OnnxNode]) -> None:
    """Tell the outputs of ``call`` how many of their elements are true at most, as far as that is known.

    Args:
        call: A node of one of the operators in ``MASKING``.
        outputs: Its outputs.
        siblings: The nodes of its graph.
    """
    first = call.inputs[0] if call.inputs else None
    if first is None or not outputs or outputs[0].shape is None:
        return
    result = outputs[0]
    match call.op:
        case "Equal":
            _compare(call, result, siblings)
        case "OneHot":
            axis = call.integer("axis", -1)
            rank = len(result.shape or ())
            result.hot = (axis + rank if axis < 0 else axis, math.prod(first.shape or (0,)))
        case "And":
            known = [info.most for info in call.inputs if info is not None and info.most is not None]
            result.most = min(known, default=None)
        case _ if call.op in _UNITING:
            result.most = first.most
        case "Gather" | "Slice" | "Split" if first.hot is not None:
            _take(call, outputs, first)
        case _ if call.op in _KEEPING:
            result.most = first.most
            result.hot = _moved(call, first)


def _compare(call: Call, result: Info, siblings: Iterable[OnnxNode]) -> None:
    if len(call.inputs) != 2 or call.inputs[1] is None or call.inputs[0] is None:
        return
    place = 1 if call.inputs[1].constant else 0
    index, constant = call.inputs[1 - place], call.inputs[place]
    if index is None or constant is None or index.constant or not constant.constant:
        return
    if index.shape is None or constant.shape is None:
        return
    total = math.prod(index.shape)
    if math.prod(constant.shape) == 1:
        name, own = call.node.inputs[1 - place], call.node.inputs[place]
        others = dict.fromkeys(
            node.inputs[1] if node.inputs[0] == name else node.inputs[0]
            for node in siblings
            if node.op_type == "Equal" and name in node.inputs
        )
        members = list(others)
        if len(members) > 1 and own in members:
            result.most = _share(total, len(members), members.index(own))
        return
    shape = result.shape or ()
    apart = (1,) * (len(shape) - len(index.shape)) + index.shape
    spread = [axis for axis, extent in enumerate(shape) if extent > 1 == apart[axis]]
    if len(spread) == 1 and math.prod(constant.shape) == shape[spread[0]]:
        result.hot = (spread[0], total)


def _take(call: Call, outputs: Sequence[Info], source: Info) -> None:
    axis, total = source.hot or (0, 0)
    depth = (source.shape or ())[axis]
    if call.op == "Split":
        sizes = [(info.shape or (0,) * (axis + 1))[axis] for info in outputs]
        if call.axis(call.integer("axis", 0), len(source.shape or ())) == axis and set(sizes) == {1}:
            for place, info in enumerate(outputs):
                info.most = _share(total, depth, place)
        return
    chosen = call.value(1)
    along = call.integer("axis", 0) if call.op == "Gather" else _sliced_axis(call)
    rank = len(source.shape or ())
    if chosen is None or chosen.size != 1 or along is None or along % max(rank, 1) != axis:
        return
    if math.prod(outputs[0].shape or ()) * depth == math.prod(source.shape or ()):
        outputs[0].most = _share(total, depth, int(chosen.ravel()[0]) % depth)


def _sliced_axis(call: Call) -> int | None:
    axes = call.value(3)
    return int(axes.ravel()[0]) if axes is not None and axes.size == 1 else 0 if not call.has(3) else None


def _moved(call: Call, source: Info) -> tuple[int, int] | None:
    """Where the axis of a one-hot vector is behind ``call``; None when it cannot be told."""
    if source.hot is None or call.op in ("Identity", "Cast"):
        return source.hot
    if call.op == "Transpose":
        order = call.integer_list("perm") or list(reversed(range(len(source.shape or ()))))
        return order.index(source.hot[0]), source.hot[1]
    return None


def _share(total: int, count: int, place: int) -> int:
    return total // count + (place < total % count)
