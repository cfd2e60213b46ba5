"""Loops: one copy of the body with a count where all trips are alike, else trip by trip.

A body is tried once with everything that changes from trip to trip unknown. When its shapes come out
whatever those values are, and the carried shapes stay the same, one copy stands for all trips. Otherwise
the loop is unrolled, each trip with its counter and carried values known as far as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerweaver.frontend.node.values import Info, text
from layerweaver.frontend.reader.model import OnnxGraph, OnnxNode
from layerweaver.frontend.resolve.body import Body
from layerweaver.frontend.resolve.carried import hands_on_condition, known_scalar
from layerweaver.frontend.resolve.regular import WALKED, Started, rest_of_loop
from layerweaver.frontend.resolve.scope import Scope, TooLongError, UnrollError
from layerweaver.frontend.resolve.walk import Walker
from layerweaver.ir.dtypes import DType
from layerweaver.ir.text import counted

__all__ = ["walk_loop", "walk_scan", "walk_sequence_map"]

TRIP_LIMIT = 1 << 20
"""A declared maximum beyond this is taken as no maximum at all (exporters write the largest integer)."""

_PEELED = 2
"""Trips that may differ from the rest before a loop is unrolled altogether."""


def _graph(walker: Walker, node: OnnxNode) -> OnnxGraph:
    graph = node.attributes.get("body")
    if not isinstance(graph, OnnxGraph):
        raise walker.fail(node, "it has no body")
    return graph


def _scalar(info: Info | None) -> int | None:
    if info is None or info.value is None or info.value.size != 1:
        return None
    return int(info.value.ravel()[0])


def _unknown(dtype: DType) -> Info:
    info = Info(dtype, ())
    info.constant = True
    info.varying = True
    return info


class _Trips:
    """How often a Loop may run.

    Attributes:
        given: The user's count; None where there is none.
        limit: Most trips that the file names; None where it depends on data or is no limit at all.
        maximum: The operand that limits it; None where there is none.
        measured: Whether the file names no limit, so that the condition alone ends the loop.
        skipped: Whether the condition fails before the first trip.
        cure: The option that states the count.
    """

    def __init__(self, walker: Walker, node: OnnxNode, inputs: Sequence[Info | None], prefix: str) -> None:
        self.walker, self.node = walker, node
        self.cure = f"give --trip-count {node.label}=N"
        self.given: int | None = None
        walker.loops.setdefault(node.label)
        for name in (node.name, prefix + node.name, *node.outputs):
            if name and name in walker.trip_counts:
                walker.used_trip_counts.add(name)
                self.given = walker.trip_counts[name]
        self.maximum = maximum = inputs[0] if inputs else None
        condition = inputs[1] if len(inputs) > 1 else None
        declared = _scalar(maximum)
        self.limit = None if declared is None or declared > TRIP_LIMIT else max(declared, 0)
        self.measured = maximum is None or (declared is not None and declared > TRIP_LIMIT)
        self.skipped = condition is not None and _scalar(condition) == 0

    def warn_maximum(self, limit: int | None) -> None:
        """Say that the data may end the loop before its limit."""
        what = f"when it stops depends on data: taken as its maximum of {limit} trips"
        self.walker.doubts.add(self.node, what, self.cure)

    def warn_unknown(self) -> None:
        """Say that nothing limits the loop, which is taken as one trip."""
        doubts = self.walker.doubts
        why, cure = doubts.undecided(self.maximum, "how often it runs depends on data", self.cure)
        doubts.add(self.node, f"{why}: taken as once", cure, lacking=True)

    def too_long(self, error: TooLongError, count: int | None) -> TooLongError:
        """``error`` with place and cure of the loop of most trips; no count: its trips are alike."""
        if error.trips >= (count or 1):
            return error
        what = error.what if count is None else f"its trips differ: {error.what}"
        accepted = self.cure
        if count is not None and not self.measured:
            accepted += f" of at most {count}"
        own = self.walker.fail(self.node, what, accepted)
        return TooLongError(own.what, where=own.where, accepted=accepted, trips=count or 1)


def walk_loop(walker: Walker, node: OnnxNode, inputs: Sequence[Info | None], scope: Scope) -> Sequence[Info]:
    """Walk a Loop.

    Raises:
        ModelError: The body does not fit, or unrolling exceeds the bounds.
    """
    graph = _graph(walker, node)
    carried = [info for info in inputs[2:] if info is not None]
    if len(graph.inputs) != len(carried) + 2 or len(graph.outputs) < len(carried) + 1:
        raise walker.fail(
            node,
            f"its body takes {counted(len(graph.inputs), 'input')}, "
            f"it carries {counted(len(carried), 'value')}",
        )
    trips = _Trips(walker, node, inputs, scope.prefix)
    maximum = inputs[0] if inputs else None
    if walker.trial and maximum is not None and maximum.varying and maximum.constant:
        raise UnrollError
    body = Body(walker, node, graph, scope, lead=2, tail=1)
    if trips.given is not None and trips.limit is not None and trips.given > trips.limit:
        if scope.parent is None:
            what = f"it runs at most {trips.limit} times, --trip-count says {trips.given}"
            raise walker.fail(node, what, f"{trips.cure} of at most {trips.limit}")
        trips.given = trips.limit  # in a trip of the loop around, which may leave it fewer
    fewer = trips.given is not None and trips.limit is not None and trips.given < trips.limit
    first = 1 if len(inputs) < 2 or inputs[1] is None else _scalar(inputs[1])
    if fewer and first == 1 and scope.parent is None and hands_on_condition(graph, walker.source):
        what = f"it runs {trips.limit} times whatever the data, --trip-count says {trips.given}"
        walker.doubts.add(node, f"{what}, which is taken")
    limit = 0 if trips.skipped else trips.limit if trips.given is None else trips.given
    if limit == 0:
        return body.none(carried, [_unknown(DType.INT64), _unknown(DType.BOOL)])
    count = 0
    started: list[Started] = []
    while limit is None or count < limit:
        if count <= _PEELED:
            finished = _rest(body, carried, trips, limit=limit, done=count)
            if finished is not None:
                return finished
        if count < WALKED:
            started.append(Started(walker.mark(), carried))
        lead = [known_scalar(count, DType.INT64), known_scalar(1, DType.BOOL)]
        try:
            condition, carried = body.trip(count, lead, carried)
        except TooLongError as error:
            raise trips.too_long(error, count) from None
        count += 1
        go_on = _scalar(condition[0])
        if go_on == 0 and trips.given is None:
            break
        if limit is None and not (trips.measured and go_on is not None and not body.endless):
            trips.warn_unknown()
            break
        if go_on is None and trips.given is None and count == 1:
            trips.warn_maximum(limit)
        if count == WALKED and limit is not None:
            summed = rest_of_loop(body, started, carried, limit)
            if summed is not None:
                return summed
    return body.finish(carried)


def _rest(
    body: Body, carried: list[Info], trips: _Trips, *, limit: int | None, done: int
) -> list[Info] | None:
    """All trips from ``done`` on by one copy of the body, or None when they are not alike."""
    lead = [_unknown(DType.INT64), known_scalar(1, DType.BOOL)]
    found = body.steady(lead, carried)
    if found is None:
        return None
    condition = found.condition
    go_on = None if condition is None else _scalar(condition)
    if go_on == 0 and trips.given is None:
        return None
    remaining = None if limit is None else limit - done
    if go_on is None and trips.given is None:
        if condition is not None and condition.varying and condition.constant:
            try:
                remaining = body.count(carried, done, remaining)
            except TooLongError as error:
                raise trips.too_long(error, None) from None
            if remaining is None:
                return None
        elif remaining is None:
            trips.warn_unknown()
            remaining = 1
        else:
            trips.warn_maximum(limit)
    elif remaining is None:
        trips.warn_unknown()
        remaining = 1
    return body.repeat(found, lead, remaining)


def walk_scan(walker: Walker, node: OnnxNode, inputs: Sequence[Info | None], scope: Scope) -> Sequence[Info]:
    """Walk a Scan; that of opset 8, which has a batch axis and lengths, runs once per batch element.

    Raises:
        ModelError: The body does not fit, or the scanned inputs have different lengths.
    """
    graph = _graph(walker, node)
    present = [info for info in inputs if info is not None]
    old = scope.opsets.get("", 9) < 9
    if old and len(inputs) == len(graph.inputs) + 1:
        present = [info for info in inputs[1:] if info is not None]
    raw = node.attributes.get("num_scan_inputs", 0)
    scanned = raw if isinstance(raw, int) else 0
    if not 0 < scanned <= len(present) or len(present) != len(graph.inputs):
        raise walker.fail(
            node, f"its body takes {counted(len(graph.inputs), 'input')}, it is given {len(present)}"
        )
    carried, sources = present[:-scanned], present[-scanned:]
    batch = 1
    if old:
        batch = (sources[0].shape or (1,))[0]
        carried = [_without_axis(walker, node, info, 0) for info in carried]
        sources = [_without_axis(walker, node, info, 0) for info in sources]
    axes = _listed(node, "scan_input_axes", scanned)
    backward = _listed(node, "scan_input_directions", scanned)
    lengths = []
    for info, axis in zip(sources, axes, strict=True):
        if info.shape is None or not -len(info.shape) <= axis < len(info.shape):
            raise walker.fail(node, f"axis {axis} of {info.name} cannot be scanned")
        lengths.append(info.shape[axis])
    if len(set(lengths)) != 1:
        raise walker.fail(node, f"it scans inputs of different lengths, {text(lengths)}")
    stack_axes = _listed(node, "scan_output_axes", max(len(graph.outputs) - len(carried), 0))
    body = Body(walker, node, graph, scope, times=batch, stack_axes=stack_axes, batch=batch if old else None)

    def slices(trip: int | None) -> list[Info]:
        return [
            _slice(walker, node, info, axis, trip=trip, reverse=reverse == 1)
            for info, axis, reverse in zip(sources, axes, backward, strict=True)
        ]

    return body.run_all(carried, slices, lengths[0])


def _listed(node: OnnxNode, name: str, count: int) -> list[int]:
    found = node.attributes.get(name)
    listed = [item for item in found if isinstance(item, int)] if isinstance(found, tuple) else []
    return listed if len(listed) == count else [0] * count


def _without_axis(walker: Walker, node: OnnxNode, info: Info, axis: int) -> Info:
    if not info.shape or not -len(info.shape) <= axis < len(info.shape):
        raise walker.fail(node, f"{info.name} lacks axis {axis}")
    place = axis % len(info.shape)
    part = info.part(info.shape[:place] + info.shape[place + 1 :])
    part.varying = True
    return part


def _slice(walker: Walker, node: OnnxNode, info: Info, axis: int, *, trip: int | None, reverse: bool) -> Info:
    part = _without_axis(walker, node, info, axis)
    if trip is not None and info.shape is not None:
        part.varying = False
        if info.value is not None:
            length = info.shape[axis]
            part.value = np.asarray(info.value.take(length - 1 - trip if reverse else trip, axis))
    return part


def walk_sequence_map(
    walker: Walker, node: OnnxNode, inputs: Sequence[Info | None], scope: Scope
) -> Sequence[Info]:
    """Walk a SequenceMap: the body runs once for every element of the first input.

    Raises:
        ModelError: The body does not fit, or the length of the sequence is unknown.
    """
    graph = _graph(walker, node)
    present = [info for info in inputs if info is not None]
    if not present or len(graph.inputs) != len(present):
        raise walker.fail(
            node, f"its body takes {counted(len(graph.inputs), 'input')}, it is given {len(present)}"
        )
    sequences = [info for info in present if info.elements is not None]
    if present[0].elements is None:
        return _map_unknown(walker, node, graph, scope, present)
    length = len(present[0].elements)
    if any(len(info.elements or ()) < length for info in sequences):
        raise walker.fail(node, "its sequences have different lengths")

    def elements(trip: int | None) -> list[Info]:
        chosen = []
        for info in present:
            if info.elements is None:
                chosen.append(info)
            elif trip is not None:
                chosen.append(info.elements[trip])
            else:
                chosen.append(_any_element(info))
        return chosen

    return Body(walker, node, graph, scope, sequences=True).run_all([], elements, length)


def _map_unknown(
    walker: Walker, node: OnnxNode, graph: OnnxGraph, scope: Scope, present: list[Info]
) -> Sequence[Info]:
    trips = _Trips(walker, node, [], scope.prefix)
    if trips.given is None:
        trips.warn_unknown()
    feeds = [info.part(info.shape) for info in present]
    body = Body(walker, node, graph, scope, sequences=True)
    return body.run_all([], lambda _: feeds, 1 if trips.given is None else trips.given)


def _any_element(info: Info) -> Info:
    elements = info.elements or ()
    first = elements[0] if elements else Info(info.dtype, info.shape)
    if any(element.shape != first.shape for element in elements):
        raise UnrollError
    part = Info(first.dtype, first.shape)
    part.name, part.batched, part.constant = first.name, info.batched, info.constant
    part.roots, part.varying = first.roots, True
    return part
