"""JSON from strangers: bounded in what it expands to, finite numbers, whole characters."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["MAX_VALUES", "parse_json", "values_in"]

MAX_VALUES = 2_000_000
"""Values of one document: some 100 bytes each in memory."""


def parse_json(data: bytes) -> Any:
    """One JSON document.

    Raises:
        ValueError: If it is none, nests too deeply, holds more than :data:`MAX_VALUES` values, a number that
            is not finite or half a character; says which.
    """
    if values_in(data) > MAX_VALUES:
        raise ValueError(f"it holds more than {MAX_VALUES:,} values")
    try:
        document = json.loads(data.decode(), parse_constant=_number, parse_float=_number)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    if b"\\u" in data:
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it holds half a character") from None
    return document


def values_in(data: bytes) -> int:
    """At most so many values more than one does a document hold: what comes before each but the first."""
    return sum(map(data.count, (b",", b"[", b"{")))


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is not a number that can be used")
    return value
