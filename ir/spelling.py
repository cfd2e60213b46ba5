"""The nearest known name to a misspelt one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

__all__ = ["nearest", "nearest_of"]


def nearest_of(name: str, known: Sequence[str], *, cutoff: float = 0.6) -> str | None:
    """The known name closest to the one given, capitals or not; None where none comes near."""
    name = str(name)  # callers of Python functions give anything
    same = next((each for each in known if each.casefold() == name.casefold()), None)
    close = get_close_matches(name, known, n=1, cutoff=cutoff)
    return same or (close[0] if close else None)


def nearest(name: str, known: Sequence[str], word: str = "accepted") -> str:
    """``did you mean 'x'?`` when a known name is close, followed by the names known.

    Args:
        name: What was given.
        known: What there is.
        word: How the list is introduced.
    """
    if not known and word == "known":
        return "there is none to give"
    close = nearest_of(name, known)
    hint = f"did you mean {close!r}? " if close is not None else ""
    return f"{hint}{word}: {', '.join(known)}"
