"""Text from strangers, made harmless for terminals: names are text, never control. Lists that are cut."""

from __future__ import annotations

import json
from collections.abc import Sequence

__all__ = ["counted", "figure", "first_of", "one_line", "printable", "printable_json"]

_LONGEST = 600


def printable(text: str) -> str:
    """The text with everything that shows nothing by itself spelt out, line ends excepted.

    Escape sequences, marks that turn the direction of writing and lone surrogates become what Python writes
    for them.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _spelt(c) for c in text)


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def printable_json(text: str) -> str:
    """JSON with such characters as JSON itself would escape them; the same document."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """One printable line of bounded length."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def counted(count: int, one: str, many: str = "") -> str:
    """So many of something, in words: ``1 layer``, ``2 layers``; ``many`` where it does not end in an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def figure(value: float, digits: int = 3) -> str:
    """A number in so many digits, and in full where it has more before the point: 0.0123, 1.23, 12,345."""
    return f"{value:,.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:,.{digits}g}"


def first_of(parts: Sequence[str], most: int, what: str = "") -> str:
    """The first few of a list, and how many more (of what) there are."""
    shown, more = ", ".join(parts[:most]), len(parts) - most
    return f"{shown} and {more} more {what}".rstrip() if more > 0 else shown
