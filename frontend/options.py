"""What the user says of a model that its file leaves open, and how it is to be imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["ImportOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How to import a model.

    Attributes:
        dims: Extents of symbolic dimensions, also of names inside expressions such as ``past + 1``.
        shapes: Shapes of inputs, which override declared ones; or of values inside the graph whose shape
            depends on data.
        values: Values of inputs or of values inside the graph that shapes depend on (a number of frames, an
            output size), element by element.
        trip_counts: Trips of loops whose number depends on data, by node name.
        batch: Extent of the batch dimension. Where the file fixes it, the finished graph is rescaled:
            activations and work grow, weights do not. None keeps the file's.
        state: Pairs of graph inputs and outputs that carry state, besides those that are recognised.
        strict: Refuse unknown operators and work of unknown size instead of warning.
        fuse: Merge what a compiler would; without it every node that is not a view is a layer.
        windows: Bound attention by the windows that operators state; without it they look at all tokens.
    """

    dims: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    trip_counts: Mapping[str, int] = field(default_factory=dict)
    batch: int | None = None
    state: Sequence[tuple[str, str]] = ()
    strict: bool = False
    fuse: bool = True
    windows: bool = True
