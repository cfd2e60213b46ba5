"""What altered documents hold instead of what belongs there: mostly numbers at some edge."""

from __future__ import annotations

import random
from typing import Any

__all__ = ["NUMBERS", "WORDS", "alter"]

NUMBERS = (0, 1, -1, 2**31, 2**44, 2**45, 2**45 + 1, 2**59, 2**62, 2**63 - 1, -(2**63), 10**18, 3, 1000)
WORDS: tuple[Any, ...] = (*NUMBERS, 1e308, 1e-300, float("inf"), float("nan"))
WORDS += ("x", "", None, True, [], {}, "1e9", "2**64", "\x1b]0;t\x07", "=1+1")


def alter(document: Any, chance: random.Random, numbers: tuple[float, ...] = NUMBERS) -> None:
    """Change one value of a document of JSON, or leave one out."""
    places: list[tuple[Any, Any]] = []
    parts = [document]
    for part in parts:
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, inner in items:
            places.append((part, key))
            parts.append(inner)
    part, key = chance.choice(places)
    if isinstance(part, dict) and chance.random() < 0.1:
        del part[key]
    elif isinstance(part[key], (int, float)) and chance.random() < 0.6:
        part[key] = chance.choice(numbers)
    else:
        part[key] = chance.choice(WORDS)
