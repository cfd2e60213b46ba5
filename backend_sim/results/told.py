"""Whose words are whose where several results, or several seeds of one, stand side by side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.ir.text import first_of

__all__ = ["of_seeds", "told_by", "told_of_seeds", "without_seed"]

_SEED = re.compile(r"(?:first seed|seed [\d,]+ of [\d,]+)(?: \(and [\w, ]+\))?: ")
_NAMED = 5
_FIGURES = r"\d[\d,.]*"


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


def told_of_seeds(said: Sequence[Sequence[str]], names: Sequence[str] = ()) -> list[str]:
    """What the repetitions of one run say: once what all do, else by the first seed that says such a thing.

    Lines that differ in their figures only are the same thing; how many other seeds say it stands with the
    seed whose figures are told.

    Args:
        said: The lines of each repetition.
        names: What no figure is though it has digits: the names of tenants.
    """
    kind_of = _kind_without(names)
    kinds = [{line: kind_of(line) for line in lines} for lines in said]
    saying = Counter(kind for each in kinds for kind in set(each.values()))
    told, seen = list[str](), set[str]()
    for place, each in enumerate(kinds):
        for line, kind in each.items():
            if kind not in seen:
                everywhere = all(line in other for other in kinds)
                seed = "" if everywhere else _seed(place, len(said), saying[kind] - 1)
                told.append(seed + line)
        seen.update(each.values())
    return told


def without_seed(line: str) -> str:
    """The line as a seed by itself says it."""
    return line[found.end() :] if (found := _SEED.match(line)) else line


def _seed(place: int, count: int, more: int) -> str:
    """Whose figures follow, and how many other seeds say the like."""
    others = "" if not more else " (and all others)" if more == count - 1 else f" (and {more:,} more)"
    return f"first seed{others}: " if place == 0 else f"seed {place + 1} of {count}{others}: "


def _kind_without(names: Sequence[str]) -> Callable[[str], str]:
    """What a line says but for its figures, of which ``names`` are none."""
    by_length = sorted(names, key=len, reverse=True)
    words = [rf"(?<!\w){re.escape(name)}(?!\w)" for name in by_length if re.search(r"[^\d,.]", name)]
    numbers = [re.escape(name) for name in by_length if re.fullmatch(_FIGURES, name)]
    words += [rf"(?:^|(?<=[:,] )|(?<='))(?:{number})(?!\w)(?= |:|')" for number in numbers]
    figures = re.compile(f"({'|'.join(words)})|{_FIGURES}" if words else f"()({_FIGURES})")
    return lambda line: figures.sub(lambda found: found[1] or "", line)
