"""JSON from strangers: bounded in what it expands to, finite numbers, whole characters, no key twice."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["MAX_VALUES", "RepeatedKeyError", "object_of", "parse_json", "values_in"]

MAX_VALUES = 2_000_000
"""Values of one document: some 100 bytes each in memory."""


class RepeatedKeyError(ValueError):
    """An object has a key twice.

    Args:
        key: The key.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"the key {key[:60]!r} appears twice")


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its keys and values, as ``object_pairs_hook`` of the json module.

    Raises:
        RepeatedKeyError: If a key appears twice: the json module takes the last one.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise RepeatedKeyError(next(key for key in keys if keys.count(key) > 1))
    return found


def parse_json(data: bytes) -> Any:
    """One JSON document.

    Raises:
        ValueError: If it is none, nests too deeply, holds more than :data:`MAX_VALUES` values, a number that
            is not finite, half a character or a key twice in one object; says which.
    """
    if values_in(data) > MAX_VALUES:
        raise ValueError(f"it holds more than {MAX_VALUES:,} values")
    try:
        document = json.loads(
            data.decode(), parse_constant=_number, parse_float=_number, object_pairs_hook=object_of
        )
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
