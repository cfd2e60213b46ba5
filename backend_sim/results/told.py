"""Whose words are whose where several results, or several seeds of one, stand side by side."""

from __future__ import annotations

from collections.abc import Sequence

from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.ir.text import first_of

__all__ = ["of_seeds", "told_by"]

_NAMED = 5


def of_seeds(runs: Sequence[Run]) -> str:
    """What stands behind the name of figures that are of the first seed, where there are several."""
    return " (first seed)" if any("confidence" in run for run in runs) else ""


def told_by(names: Sequence[str], said: Sequence[Sequence[str]]) -> list[str]:
    """What several results say, each line once; before what not all of them say, the names of those that do.

    Args:
        names: What the results are called.
        said: The lines of each.
    """
    of: dict[str, list[str]] = {}
    for name, lines in zip(names, said, strict=True):
        for line in dict.fromkeys(lines):
            of.setdefault(line, []).append(name)
    return [
        line if len(whose) == len(names) else f"{first_of(whose, _NAMED)}: {line}"
        for line, whose in of.items()
    ]
