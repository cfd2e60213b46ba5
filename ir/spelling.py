"""The nearest known name to a misspelt one."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

__all__ = ["nearest"]


def nearest(name: str, known: Sequence[str], word: str = "accepted") -> str:
    """``did you mean 'x'?`` when a known name is close, followed by the names known.

    Args:
        name: What was given.
        known: What there is.
        word: How the list is introduced.
    """
    if not known and word == "known":
        return "there is none to give"
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}{word}: {', '.join(known)}"
