"""Scopes of names, and the bounds of the walk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TypeAlias

from layerweaver.frontend.node.resolved import ResolvedNode
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.reader.model import OnnxNode, ValueInfo
from layerweaver.frontend.resolve.doubts import Doubt
from layerweaver.ir.errors import ModelError

__all__ = [
    "DEPTH_LIMIT",
    "NODE_LIMIT",
    "STEP_LIMIT",
    "Mark",
    "Recorded",
    "Scope",
    "TooLongError",
    "UnrollError",
    "knowable",
    "united_roots",
]

NODE_LIMIT = 100_000
"""Most nodes that inlining and unrolling may add."""

STEP_LIMIT = 200_000
"""Most node visits beyond one per node of the file (trials of branches and loop bodies included)."""

DEPTH_LIMIT = 40
"""Deepest nesting of functions, branches and loop bodies."""

ROOT_LIMIT = 1024
"""Most roots that a constant remembers."""

Mark: TypeAlias = tuple[int, int, int]
"""Numbers of nodes, values and warnings at some moment."""

Recorded: TypeAlias = tuple[list[ResolvedNode], list[tuple[str, Info]], list[Doubt]]
"""Nodes, values and warnings entered since a mark."""


class UnrollError(Exception):
    """Raised within a trial of a loop body: the trips differ, so the loop must be unrolled."""


class TooLongError(ModelError):
    """A graph that takes too much once it is unrolled.

    Attributes:
        trips: How many trips the loop that is named had made; 0 while none is.
    """

    def __init__(self, what: str, *, where: str = "", accepted: str = "", trips: int = 0) -> None:
        super().__init__(what, where=where, accepted=accepted)
        self.trips = trips


@dataclass(slots=True, eq=False)
class Scope:
    """Names that are visible at one place of the model.

    Attributes:
        env: What is known of each name.
        parent: The scope around this one, or None (functions see nothing of their callers).
        prefix: Put before the names of nodes and values, "" in the main graph.
        opsets: Versions in force.
        declared: Declared types of values.
        repeats: How often the nodes here run.
        siblings: The nodes here.
        depth: Nesting depth.
    """

    parent: Scope | None
    prefix: str
    opsets: Mapping[str, int]
    declared: Mapping[str, ValueInfo]
    _: KW_ONLY
    repeats: int = 1
    depth: int = 0
    env: dict[str, Info] = field(default_factory=dict)
    siblings: Sequence[OnnxNode] = ()

    def find(self, name: str) -> Info | None:
        """What is known of ``name`` here or in the scopes around."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.env.get(name)
            if found is not None:
                return found
            scope = scope.parent
        return None


def knowable(inputs: Sequence[Info | None]) -> bool:
    """Whether unrolling would make known a value that is unknown because it differs between trips."""
    return any(info is not None and info.varying and info.constant for info in inputs)


def united_roots(infos: Sequence[Info | None]) -> tuple[str, ...]:
    """Roots of all ``infos``, each once."""
    merged: tuple[str, ...] = ()
    for info in infos:
        if info is None or not info.roots or info.roots == merged:
            continue
        if not merged:
            merged = info.roots
        elif len(merged) < ROOT_LIMIT:
            merged = tuple(dict.fromkeys(merged + info.roots))[:ROOT_LIMIT]
    return merged
