"""Loops whose trips differ regularly: one copy of the body stands for all of them, summed.

Three trips are walked one by one. When the second and the third have the same nodes and every extent grows
by the same amount, the extents of a middle and of the last trip are foretold and compared with a walk of
those. Where all agree, the last trip's nodes are entered with how far each extent grows from trip to trip,
and lowering sums the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from layerweaver.frontend.node.resolved import ResolvedNode
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.resolve.body import Body
from layerweaver.frontend.resolve.carried import SEQUENCE_LIMIT, copied, known_scalar
from layerweaver.frontend.resolve.scope import Mark, Recorded, UnrollError
from layerweaver.ir.dtypes import DType
from layerweaver.ir.errors import ModelError

__all__ = ["WALKED", "Started", "rest_of_loop"]

WALKED = 3
"""Trips that are walked one by one before the rest is foretold."""

_WORTH = 8
"""Fewer trips than these are simply unrolled."""


@dataclass(frozen=True, slots=True)
class Started:
    """One of the first trips, before it was walked: where the flat graph stood and what was carried in."""

    mark: Mark
    carried: list[Info]


def rest_of_loop(body: Body, started: Sequence[Started], after: list[Info], limit: int) -> list[Info] | None:
    """Enter all trips from the second on as one; None when they do not grow regularly.

    Args:
        body: The body, of which ``WALKED`` trips were walked.
        started: Those trips.
        after: What the last of them handed on.
        limit: Trips of the loop.
    """
    walker = body.walker
    if limit < WALKED + _WORTH:
        return None
    third = walker.rollback(started[2].mark)
    second = walker.rollback(started[1].mark)
    growth = _Growth.between(second, third)
    states = [_series(*three) for three in zip(started[1].carried, started[2].carried, after, strict=True)]

    def walk(trip: int, tag: str) -> tuple[Recorded, list[Info]] | None:
        fed = [series.at(trip) for series in states if series is not None]
        mark = walker.mark()
        lead = [known_scalar(trip), known_scalar(1, DType.BOOL)]
        try:
            outputs = body.walk([*lead, *fed], tag, 1)
        except (UnrollError, ModelError):
            walker.rollback(mark)
            return None
        recorded = walker.rollback(mark)
        handed_on = outputs[body.tail : body.tail + len(fed)]
        told = [series.at(trip + 1) for series in states if series is not None]
        stops = body.tail and outputs[0].value is not None and not outputs[0].value.any()
        fits = growth is not None and growth.fits(recorded, trip) and all(map(_same, told, handed_on))
        return (recorded, outputs) if fits and not (stops and trip < limit - 1) else None

    regular = growth is not None and all(series is not None for series in states)
    found = walk(limit // 2, f"{limit // 2}/") if regular else None
    found = walk(limit - 1, "") if found is not None else None
    if found is None or growth is None:
        walker.replay(second)
        walker.replay(third)
        return None
    recorded, outputs = found
    walker.kept.update(info.name for info in (*started[1].carried, *outputs))
    walker.replay(growth.applied(recorded, limit - 1))
    for parts in body.stacked:
        del parts[1:]
    _, carried = body.split(outputs, len(states))
    body.trips = limit
    return body.finish(carried)


@dataclass(frozen=True, slots=True)
class _Growth:
    """How the outputs of a body's nodes grow: shapes in the third trip and steps from trip to trip."""

    nodes: list[ResolvedNode]
    shapes: list[list[tuple[int, ...] | None]]
    steps: list[list[tuple[int, ...] | None]]

    @classmethod
    def between(cls, second: Recorded, third: Recorded) -> _Growth | None:
        """From two trips that follow each other; None when they have different nodes."""
        if not _alike(second[0], third[0]):
            return None
        shapes, steps = [], []
        for old, new in zip(_shapes(second), _shapes(third), strict=True):
            if any(
                (a is None) != (b is None) or len(a or ()) != len(b or ())
                for a, b in zip(old, new, strict=True)
            ):
                return None
            shapes.append(new)
            steps.append(
                [
                    None if a is None or b is None else tuple(y - x for x, y in zip(a, b, strict=True))
                    for a, b in zip(old, new, strict=True)
                ]
            )
        return cls(third[0], shapes, steps)

    def fits(self, recorded: Recorded, trip: int) -> bool:
        """Whether a trip is as was foretold."""
        if not _alike(self.nodes, recorded[0]):
            return False
        for found, third, steps in zip(_shapes(recorded), self.shapes, self.steps, strict=True):
            for shape, base, step in zip(found, third, steps, strict=True):
                if base is None or step is None:
                    told = None
                else:
                    told = tuple(b + s * (trip - 2) for b, s in zip(base, step, strict=True))
                if shape != told:
                    return False
        return True

    def applied(self, recorded: Recorded, trips: int) -> Recorded:
        """What was walked of the last trip, standing for ``trips`` of them."""
        nodes, infos, doubts = recorded
        known = dict(infos)
        for resolved, steps in zip(nodes, self.steps, strict=True):
            for name, step in zip(resolved.node.outputs, steps, strict=True):
                if name and step is not None and any(step):
                    known[name].slope = step
        return [replace(resolved, trips=trips) for resolved in nodes], infos, doubts


def _alike(one: Sequence[ResolvedNode], other: Sequence[ResolvedNode]) -> bool:
    return len(one) == len(other) and all(
        a.node.op_type == b.node.op_type
        and a.node.attributes is b.node.attributes
        and len(a.node.outputs) == len(b.node.outputs)
        and (a.repeats, a.trips, a.folded) == (b.repeats, 1, b.folded)
        for a, b in zip(one, other, strict=True)
    )


def _shapes(recorded: Recorded) -> list[list[tuple[int, ...] | None]]:
    infos = dict(recorded[1])
    return [
        [infos[name].shape if name in infos else None for name in resolved.node.outputs]
        for resolved in recorded[0]
    ]


@dataclass(frozen=True, slots=True)
class _Series:
    """A carried value from the second trip on: as it goes into the third, and what each trip adds to it."""

    second: Info
    third: Info
    added: tuple[Info, ...]

    def at(self, trip: int) -> Info:
        """The value as it goes into ``trip``."""
        ahead = trip - 2
        info = copied(self.third)
        info.name = ""
        old, new = self.second.shape, self.third.shape
        if old is not None and new is not None:
            info.slope = tuple(b - a for a, b in zip(old, new, strict=True))
            info.shape = tuple(b + step * ahead for b, step in zip(new, info.slope, strict=True))
        before, now = self.second.value, self.third.value
        info.value = None
        if before is not None and now is not None and before.shape == now.shape:
            step = (now - before) * np.asarray(ahead, now.dtype) if now.dtype.kind in "iuf" else None
            info.value = now if step is None else (now + step).astype(now.dtype)
        if info.elements is not None:
            info.elements = info.elements + self.added * min(ahead, SEQUENCE_LIMIT)
        return info


def _series(second: Info, third: Info, fourth: Info) -> _Series | None:
    """How a carried value goes on; None when it does not grow regularly."""
    infos = (second, third, fourth)
    added: tuple[Info, ...] = ()
    if third.elements is not None:
        if second.elements is None or fourth.elements is None:
            return None
        added = fourth.elements[len(third.elements) :]
        if len(third.elements) - len(second.elements) != len(added):
            return None
    elif any(info.shape is None or len(info.shape) != len(second.shape or ()) for info in infos):
        return None
    if len({info.value is None for info in infos}) > 1 or len({info.dtype for info in infos}) > 1:
        return None
    series = _Series(second, third, added)
    return series if third.elements is not None or _same(series.at(3), fourth) else None


def _same(told: Info, found: Info) -> bool:
    """Whether a value is as was foretold."""
    if told.elements is not None and found.elements is not None:
        return len(told.elements) == len(found.elements)
    if told.shape != found.shape or told.dtype != found.dtype:
        return False
    if told.value is None or found.value is None:
        return told.value is found.value
    return bool(np.array_equal(told.value, found.value))
