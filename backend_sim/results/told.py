"""Whose words are whose where several results, or several seeds of one, stand side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence

from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.ir.text import first_of

__all__ = ["FIRST_SEED", "of_seeds", "told_by", "told_of_seeds"]

FIRST_SEED = "first seed: "
"""What stands before a line of which other seeds say another, or none."""
_NAMED = 5
_FIGURES = re.compile(r"\d[\d,.]*")


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


def told_of_seeds(said: Sequence[Sequence[str]]) -> list[str]:
    """What the repetitions of one run say: once what all do, else by the first seed that says such a thing.

    Lines that differ in their figures only are the same thing.

    Args:
        said: The lines of each repetition.
    """
    told = list[str]()
    seen = set[str]()
    for number, lines in enumerate(said, start=1):
        seed = FIRST_SEED if number == 1 else f"seed {number} of {len(said)}: "
        new = [line for line in dict.fromkeys(lines) if _FIGURES.sub("", line) not in seen]
        told += [line if all(line in other for other in said) else seed + line for line in new]
        seen |= {_FIGURES.sub("", line) for line in new}
    return told
