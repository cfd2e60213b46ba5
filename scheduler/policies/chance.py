"""Policies decide by what they see: the same run twice gives the same bytes, so chance is refused."""

from __future__ import annotations

import dis
import random
from collections.abc import Iterator
from types import FunctionType
from typing import cast

__all__ = ["find_chance"]

_MODULES = ("random", "numpy.random", "secrets", "time", "uuid")


def find_chance(function: FunctionType) -> tuple[str, str, int] | None:
    """Where a function, or one that it calls, asks for chance or the time: what, in which file and line."""
    seen: set[FunctionType] = set()
    waiting = [function]
    while waiting:
        looked_at = waiting.pop()
        if looked_at in seen:
            continue
        seen.add(looked_at)
        for name, found, line in _names(looked_at):
            if _is_chance(found):
                return name, looked_at.__code__.co_filename, line
            if isinstance(found, FunctionType) and not (found.__module__ or "").startswith("layerweaver."):
                waiting.append(found)
    return None


def _names(function: FunctionType) -> Iterator[tuple[str, object, int]]:
    """Every global that a function names, and what dots lead to from it, with the line."""
    name, found, line = "", cast("object", None), function.__code__.co_firstlineno
    for step in dis.get_instructions(function):
        line = step.positions.lineno or line if step.positions is not None else line
        if step.opname == "LOAD_GLOBAL":
            name, found = str(step.argval), function.__globals__.get(str(step.argval))
        elif step.opname == "LOAD_DEREF" and step.argval in function.__code__.co_freevars:
            cell = (function.__closure__ or ())[function.__code__.co_freevars.index(step.argval)]
            name, found = str(step.argval), cell.cell_contents
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and found is not None:
            name, found = f"{name}.{step.argval}", getattr(found, str(step.argval), None)
        else:
            found = None
        if found is not None:
            yield name, found, line


def _is_chance(found: object) -> bool:
    """Whether something that can be called gives chance or the time."""
    home, owner = getattr(found, "__module__", None) or "", getattr(found, "__self__", None)
    return callable(found) and (home.startswith(_MODULES) or isinstance(owner, _generators()))


def _generators() -> tuple[type, ...]:
    import numpy as np  # noqa: PLC0415 - its generators load late

    return (random.Random, np.random.RandomState, np.random.Generator)
