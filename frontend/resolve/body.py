"""The body of a loop, walked for one trip or for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TypeAlias

from layerweaver.frontend.node.values import Info, text
from layerweaver.frontend.reader.model import OnnxGraph, OnnxNode
from layerweaver.frontend.resolve.carried import (
    SEQUENCE_LIMIT,
    alike,
    blurred,
    condition_moves,
    condition_slice,
    copied,
    grown,
    known_scalar,
    passed_through,
)
from layerweaver.frontend.resolve.scope import Scope, UnrollError
from layerweaver.frontend.resolve.walk import Walker
from layerweaver.ir.dtypes import DType
from layerweaver.ir.errors import ModelError
from layerweaver.ir.limits import MAX_SHAPE_ELEMENTS

__all__ = ["Body", "Steady"]

_Feed: TypeAlias = Callable[[int | None], list[Info]]


@dataclass(frozen=True, slots=True, eq=False)
class Steady:
    """A body that does the same work in every trip.

    Attributes:
        carried: Carried values as one trip sees them.
        condition: What the body says of going on; None where there is no such output.
    """

    carried: list[Info]
    condition: Info | None


@dataclass(eq=False)
class Body:
    """A loop body and what its trips have put out.

    Args:
        walker: The walk that the loop is part of.
        node: The loop.
        graph: Its body.
        scope: Scope around the loop.
        lead: Inputs of the body before the carried values (counter and condition).
        tail: Outputs of the body before the carried values (condition).
        times: How often the whole loop runs.
        stack_axes: Along which axis each stacked output is joined; 0 where it is not said.
        batch: Extent of the batch axis of a scan that has one.
        sequences: Whether what trips put out are elements of sequences.
    """

    walker: Walker
    node: OnnxNode
    graph: OnnxGraph
    scope: Scope
    _: KW_ONLY
    lead: int = 0
    tail: int = 0
    times: int = 1
    stack_axes: Sequence[int] = ()
    batch: int | None = None
    sequences: bool = False
    trips: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """What follows from the body alone."""
        graph, lead, tail = self.graph, self.lead, self.tail
        self.label = self.node.label or self.node.op_type
        self.stacked: list[list[Info]] = [[] for _ in graph.outputs]
        self.passed = passed_through(graph, lead, tail)
        self.endless = tail > 0 and not condition_moves(graph, lead, tail, self.walker.source)

    def walk(self, feeds: Sequence[Info], tag: str, trips: int) -> list[Info]:
        """Walk the body once with ``feeds`` as its inputs; its nodes count ``trips`` times."""
        inner = Scope(
            self.scope,
            f"{self.scope.prefix}{self.label}/{tag}",
            self.scope.opsets,
            self.graph.value_infos,
            repeats=self.scope.repeats * self.times * trips,
            depth=self.scope.depth + 1,
        )
        for value, info in zip(self.graph.inputs, feeds, strict=True):
            whole = self.walker.infos.get(info.name) if info.name else None
            if whole is not None and whole.shape != info.shape and info.elements is None:
                inner.env[value.name] = self.part(inner, value.name, info, trips)
                continue
            if not info.name:
                self.walker.add(inner.prefix + value.name, info)
            inner.env[value.name] = info
        return self.walker.graph(self.graph, inner)

    def part(self, inner: Scope, name: str, info: Info, trips: int) -> Info:
        """Enter what a trip sees of a larger value, with a node that stands for cutting it out.

        All trips together use all of a constant, so only a single trip's part is cut out of one.
        """
        walker = self.walker
        entered = copied(info)
        walker.add(inner.prefix + name, entered)
        if trips == 1 or not info.constant:
            node = OnnxNode("Slice", "", name, (info.name,), (entered.name,), {})
            walker.emit(node, node.inputs, node.outputs, scope=inner, opset=13, folded=info.constant)
        return entered

    def trip(self, trip: int, lead: list[Info], carried: list[Info]) -> tuple[list[Info], list[Info]]:
        """One trip of its own: what precedes the carried outputs, and the carried outputs."""
        outputs = self.walk([*lead, *carried], f"{trip}/", 1)
        return self.split(outputs, len(carried))

    def split(self, outputs: list[Info], carried: int) -> tuple[list[Info], list[Info]]:
        """Note what a trip puts out for stacking and return the rest."""
        first = self.tail + carried
        for place, info in enumerate(outputs[first:]):
            self.stacked[place].append(info)
        self.trips += 1
        return outputs[: self.tail], outputs[self.tail : first]

    def steady(
        self, lead: list[Info], carried: list[Info], slices: list[Info] | None = None
    ) -> Steady | None:
        """Try the body with what changes between trips unknown; None when the trips are not alike."""
        current = [info if place in self.passed else blurred(info) for place, info in enumerate(carried)]
        for _ in range(4):
            outputs = self.attempt([*map(copied, lead), *current, *map(copied, slices or [])])
            if outputs is None:
                return None
            after = outputs[self.tail : self.tail + len(carried)]
            if any(not alike(old, new) for old, new in zip(current, after, strict=True)):
                return None
            changed = False
            for place, new in enumerate(after):
                old = current[place]
                if place not in self.passed and (new.batched > old.batched or new.constant < old.constant):
                    merged = copied(old)
                    merged.batched = old.batched or new.batched
                    merged.constant = old.constant and new.constant
                    current[place], changed = merged, True
            if not changed:
                return Steady(current, outputs[0] if self.tail else None)
        return None

    def attempt(self, feeds: list[Info]) -> list[Info] | None:
        """Outputs of a trial, which leaves nothing behind; None when it must be unrolled.

        A body that fails here may fit once its values are known; if not, unrolling gives the error.
        """
        mark = self.walker.mark()
        self.walker.trial += 1
        try:
            return self.walk(feeds, "", 1)
        except (UnrollError, ModelError):
            return None
        finally:
            self.walker.trial -= 1
            self.walker.rollback(mark)

    def repeat(
        self, found: Steady, lead: list[Info], trips: int, slices: list[Info] | None = None
    ) -> list[Info]:
        """Enter one copy of the body for ``trips`` trips and finish the loop."""
        mark = self.walker.mark()
        self.walker.trial += 1
        try:
            outputs = self.walk([*map(copied, lead), *found.carried, *map(copied, slices or [])], "", trips)
        finally:
            self.walker.trial -= 1
        if not self.walker.trial:
            recorded = self.walker.rollback(mark)
            for _, info in recorded[1]:
                info.varying = False
            self.walker.replay(recorded)
        self.walker.kept.update(info.name for info in outputs)
        before = self.trips
        _, carried = self.split(outputs, len(found.carried))
        self.trips = before + trips
        carried = [grown(old, new, trips) for old, new in zip(found.carried, carried, strict=True)]
        return self.finish(carried)

    def run_all(self, carried: list[Info], feed: _Feed, length: int) -> list[Info]:
        """All ``length`` trips of a loop whose count is known."""
        if length == 0:
            return self.none(carried, [], feed(None))
        try:
            slices = feed(None)
        except UnrollError:
            slices = None
        trip = 0
        while trip < length:
            if trip <= 1 and slices is not None:
                found = self.steady([], carried, slices)
                if found is not None:
                    return self.repeat(found, [], length - trip, slices)
            outputs = self.walk([*carried, *feed(trip)], f"{trip}/", 1)
            _, carried = self.split(outputs, len(carried))
            trip += 1
        return self.finish(carried)

    def none(self, carried: list[Info], lead: list[Info], slices: list[Info] | None = None) -> list[Info]:
        """A loop that never runs: carried values stay, stacked ones are empty."""
        outputs = self.attempt([*lead, *map(blurred, carried), *(slices or [])])
        for place in range(len(self.graph.outputs) - self.tail - len(carried)):
            if outputs is not None:
                self.stacked[place].append(outputs[self.tail + len(carried) + place])
        return self.finish(carried)

    def count(self, carried: list[Info], done: int, limit: int | None) -> int | None:
        """Trips after ``done`` until the condition fails, by running only what it depends on.

        None when that depends on data after all.
        """
        nodes, needed = condition_slice(self.graph, self.lead, self.tail, self.walker.source)
        state = {self.graph.inputs[self.lead + place].name: info for place, info in enumerate(carried)}
        walker = self.walker
        mark = walker.mark()
        trips = 0
        try:
            while limit is None or trips < limit:
                inner = Scope(
                    self.scope, f"{self.label}/count/", self.scope.opsets, {}, depth=self.scope.depth + 1
                )
                for name, tensor in self.graph.initializers.items():
                    if name in needed:
                        inner.env[name] = walker.constant(tensor, inner.prefix + name)
                inner.env.update(state)
                counter = known_scalar(done + trips)
                inner.env[self.graph.inputs[0].name] = counter
                inner.env[self.graph.inputs[1].name] = known_scalar(1, DType.BOOL)
                walker.run(nodes, inner)
                trips += 1
                condition = inner.find(self.graph.outputs[0].name)
                if condition is None or condition.value is None or condition.value.size != 1:
                    return None
                if not condition.value.ravel()[0]:
                    return trips
                after = [inner.find(value.name) for value in self.graph.outputs[self.tail :][: len(carried)]]
                for place, info in enumerate(after):
                    name = self.graph.inputs[self.lead + place].name
                    if info is not None and name in needed:
                        state[name] = info
                walker.rollback(mark)
            return trips
        finally:
            walker.rollback(mark)

    def finish(self, carried: list[Info]) -> list[Info]:
        """Outputs of the loop: the last carried values, then what was stacked."""
        count = len(self.graph.outputs) - self.tail - len(carried)
        wanted = self.node.outputs[len(carried) :]
        stacked = [
            self.stack(place) if place < len(wanted) and wanted[place] else Info(DType.UNDEFINED, None)
            for place in range(count)
        ]
        if self.batch is not None:
            carried = [self.batched(info) for info in carried]
        return [*carried, *stacked]

    def batched(self, info: Info) -> Info:
        """A carried value of a batched scan with its batch axis back."""
        shape = None if info.shape is None else (self.batch or 1, *info.shape)
        return self.enter("Concat", "state", [info], Info(info.dtype, shape))

    def stack(self, place: int) -> Info:
        """What output ``place`` put out in all trips, joined along a new axis (or as a sequence)."""
        parts = self.stacked[place]
        if not parts:
            return Info(DType.UNDEFINED, None)
        first = parts[0]
        if self.sequences:
            elements = (
                tuple(parts) if len(parts) >= self.trips else (first,) * min(self.trips, SEQUENCE_LIMIT)
            )
            result = Info(first.dtype, first.shape, elements=elements if self.trips else ())
            return self.enter("SequenceConstruct", f"stack{place}", list(dict.fromkeys(parts)), result)
        shapes = {info.shape for info in parts}
        if first.shape is None or len({None if shape is None else len(shape) for shape in shapes}) != 1:
            return Info(first.dtype, None)
        if len(shapes) > 1:
            raise self.walker.fail(
                self.node, "its trips put out " + " and ".join(sorted(text(shape or ()) for shape in shapes))
            )
        axis = self.stack_axes[place] if place < len(self.stack_axes) else 0
        axis = axis + len(first.shape) + 1 if axis < 0 else axis
        shape = (*first.shape[:axis], self.trips, *first.shape[axis:])
        if self.batch is not None:
            shape = (self.batch, *shape)
        return self.enter("Concat", f"stack{place}", parts if self.trips else [], Info(first.dtype, shape))

    def enter(self, operator: str, tag: str, parts: list[Info], result: Info) -> Info:
        """Enter a value that the loop itself makes, with a node that stands for the copying."""
        walker, scope = self.walker, self.scope
        if result.shape is not None and math.prod(result.shape) > MAX_SHAPE_ELEMENTS:
            raise walker.fail(self.node, f"its output of {text(result.shape)} is too large")
        result.constant = bool(parts) and all(info.constant for info in parts)
        result.batched = any(info.batched for info in parts)
        result.shaped = any(info.shaped for info in parts)
        result.varying = any(info.varying for info in parts)
        result.upper = any(info.upper for info in parts)
        roots = dict.fromkeys(root for info in parts for root in info.roots)
        result.roots = tuple(roots)
        result.constant = result.constant or not parts
        name = walker.add(f"{scope.prefix}{self.label}/{tag}", result).name
        node = OnnxNode(operator, "", f"{self.label}/{tag}", tuple(info.name for info in parts), (name,), {})
        walker.emit(node, node.inputs, node.outputs, scope=scope, opset=13, folded=result.constant)
        return result
