"""Names of dimensions and values: those that say nothing, and those that were meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from layerweaver.frontend.reader.model import ValueInfo
from layerweaver.ir.spelling import nearest_of

__all__ = ["nearest_name", "without_placeholders"]

_PLACEHOLDER = re.compile(r"\?+|-1|\*|none|null|unk|unknown|dynamic|any", re.IGNORECASE)
"""Names by which exporters say that they do not know an extent."""


def without_placeholders(inputs: Sequence[ValueInfo]) -> list[ValueInfo]:
    """``inputs`` with extents that are only placeholders left open.

    A name that an image repeats on its first and on later axes says nothing either: no image has as many
    rows as there are images. Where all inputs begin with 0, it stands for what is not known; any other 0 is
    meant.
    """
    first = {value.shape[0] for value in inputs if value.shape and len(value.shape) > 1}
    zero: set[int | str] = {0} if 0 in first and first <= {0, None} else set()
    return [_opened(value, set(zero)) for value in inputs]


def _opened(value: ValueInfo, vague: set[int | str]) -> ValueInfo:
    if value.shape is None:
        return value
    named = [dim for dim in value.shape if isinstance(dim, str)]
    first = value.shape[0] if value.shape else None
    vague |= {name for name in named if _PLACEHOLDER.fullmatch(name.strip())}
    if isinstance(first, str) and len(value.shape) >= 4 and named.count(first) > 1:
        vague.add(first)
    if not vague:
        return value
    return replace(value, shape=tuple(None if dim in vague else dim for dim in value.shape))


def nearest_name(name: str, known: Sequence[str], kind: str) -> str:
    """What to say of a name that the model does not have: the nearest, and some that it has."""
    close = nearest_of(name, known, cutoff=0.0)
    if close is None:
        return f"the model has no {kind}"
    others = ", ".join(sorted(known)[:12])
    return f"did you mean {close}? The model has: {others}"
