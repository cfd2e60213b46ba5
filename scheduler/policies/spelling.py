"""The nearest known name to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = ["nearest"]


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint such as ``did you mean 'edf'? known: edf, llf``; says so when nothing is known."""
    if not known:
        return "there is none to give"
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(known)}"
