"""Which axis is the batch: what names say and, where there are none, operators and outputs, or a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from layerweaver.frontend.node.values import text
from layerweaver.frontend.reader.model import OnnxModel

__all__ = ["SHORT_FOR_BATCH", "fixed_batch", "is_other"]

SHORT_FOR_BATCH = frozenset(("n", "b", "bs", "bsz"))
"""Names that mean the batch where they stand first, or second after time."""

_NOT_A_BATCH = re.compile(r"^[tl]$|seq|len|time|token|frame|width|height|step|sample|point", re.IGNORECASE)
"""Names of a first axis that say it is something else than the batch; T and L are time and length."""

_RECURRENT = frozenset(("LSTM", "GRU", "RNN"))

_RANK_OF_IMAGES = 4
"""From so many axes on nobody doubts that the first is the batch."""


def is_other(dim: object) -> bool:
    """Whether the name of a first axis says that it is something else than the batch."""
    return isinstance(dim, str) and _NOT_A_BATCH.search(dim) is not None


def fixed_batch(
    model: OnnxModel,
    bound: Mapping[str, tuple[int, ...] | None],
    made: Sequence[tuple[int, ...] | None],
    asked: int | None,
) -> tuple[int, str]:
    """The extent that is the batch where no name says it, and what is to be said of it.

    It is the first of the first input of several axes. A recurrent layer that reads steps first says that
    it is the second. One that is in no output is summed over on the way, and no batch.

    Args:
        model: The file.
        bound: Shape of every input.
        made: Shape of every output, as the graph makes it; None of what has none.
        asked: The batch that is wanted; None for that of the file.

    Returns:
        The extent, and a warning where work is rescaled by a guess; else "".
    """
    ranked = [(name, shape) for name, shape in bound.items() if shape]
    ranked = [(name, shape) for name, shape in ranked if len(shape) > 1] or ranked
    if not ranked:
        return 1, ""
    name, shape = ranked[0]
    if len(shape) > 1 and _is_steps_first(model, name):
        return shape[1], ""
    extent = shape[0]
    if len(shape) < _RANK_OF_IMAGES and extent > 1 and _is_summed_over(made, extent):
        return 1, ""
    if extent <= 1 or asked in {None, extent}:
        return extent, ""
    return extent, (
        f"input {name}, {text(shape)}: its first extent is taken as the batch, so batch {asked} is "
        f"{asked} / {extent} of the file's work; if it is another axis, name it in the file "
        "(tokens, steps) and bind it with --dim"
    )


def _is_steps_first(model: OnnxModel, name: str) -> bool:
    """Whether a recurrent layer reads the input as steps, batch, features."""
    return any(
        node.op_type in _RECURRENT and node.inputs[:1] == (name,) and not node.attributes.get("layout")
        for node in model.graph.nodes
    )


def _is_summed_over(made: Sequence[tuple[int, ...] | None], extent: int) -> bool:
    """Whether the shapes of all outputs are known, and no extent is a multiple of this one."""
    return bool(made) and all(shape is not None and all(one % extent for one in shape) for shape in made)
