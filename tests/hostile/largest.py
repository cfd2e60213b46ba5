"""The largest input of every kind that is accepted, and some that are refused only after they were read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from hostile.largest_files import FILES
from hostile.largest_models import MODELS
from hostile.largest_results import RESULTS

__all__ = ["KINDS", "build"]

KINDS: dict[str, Callable[[Path, float], list[str]]] = {**MODELS, **FILES, **RESULTS}


def build(kind: str, folder: Path, share: float) -> None:
    """Write an input, or so much of it, and the command's words for it into ``words.json``."""
    words = KINDS[kind](folder, share)
    (folder / "words.json").write_text(json.dumps(words))
