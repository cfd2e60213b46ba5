"""Where a policy does what it must not, or what may fail, read from its code.

That is to ask for chance, never to return, to print, to divide, and to index.
"""

from __future__ import annotations

import builtins
import dis
import random
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import cast

__all__ = [
    "called",
    "find_chance",
    "find_divisions",
    "find_endless",
    "find_lookups",
    "find_prints",
    "names_in",
    "steps",
]

_WAYS_OUT = ("RETURN_VALUE", "RETURN_CONST", "RETURN_GENERATOR", "RAISE_VARARGS")
_DIVISIONS = ("/", "//", "%")
_LOOKUPS = ("BINARY_SUBSCR", "STORE_SUBSCR")
_MODULES = ("random", "numpy.random", "secrets", "time", "uuid")


def find_chance(function: FunctionType) -> tuple[str, str, int] | None:
    """Where a function, or one that it calls, asks for chance or the time: what, in which file and line."""
    for reached in called(function):
        for name, found, line in names_in(reached):
            if _is_chance(found):
                return name, reached.__code__.co_filename, line
    return None


def find_endless(function: FunctionType) -> tuple[str, str, int] | None:
    """A function, itself or one that it calls, that has no way out: its name, file and first line."""
    for reached in called(function):
        if all(step.opname not in _WAYS_OUT for step in dis.get_instructions(reached)):
            return reached.__name__, reached.__code__.co_filename, reached.__code__.co_firstlineno
    return None


def find_prints(function: FunctionType) -> tuple[str, int] | None:
    """Where a function, or one that it calls, prints: file and line."""
    for reached in called(function):
        for _, found, line in names_in(reached):
            if found is print:
                return reached.__code__.co_filename, line
    return None


def find_divisions(function: FunctionType) -> list[tuple[str, int]]:
    """Where a function, or one that it calls, divides: files and lines, in the order of its code."""
    return _places(
        function,
        lambda step: step.opname == "BINARY_OP" and step.argrepr.removesuffix("=") in _DIVISIONS,
    )


def find_lookups(function: FunctionType) -> list[tuple[str, int]]:
    """Where a function, or one that it calls, takes something by an index: as :func:`find_divisions`."""
    return _places(function, lambda step: step.opname in _LOOKUPS)


def _places(function: FunctionType, asked: Callable[[dis.Instruction], bool]) -> list[tuple[str, int]]:
    return [
        (reached.__code__.co_filename, step.positions.lineno)
        for reached in called(function)
        for step in dis.get_instructions(reached)
        if asked(step) and step.positions is not None and step.positions.lineno is not None
    ]


def called(function: FunctionType) -> Iterator[FunctionType]:
    """A function and those of others that it calls."""
    seen: set[FunctionType] = set()
    waiting = [function]
    while waiting:
        looked_at = waiting.pop()
        if looked_at in seen:
            continue
        seen.add(looked_at)
        yield looked_at
        waiting += [
            found
            for _, found, _ in names_in(looked_at)
            if isinstance(found, FunctionType) and not (found.__module__ or "").startswith("layerweaver.")
        ]


def steps(function: FunctionType) -> Iterator[tuple[dis.Instruction, int]]:
    """The instructions of a function, each with its line."""
    line = function.__code__.co_firstlineno
    for step in dis.get_instructions(function):
        line = step.positions.lineno or line if step.positions is not None else line
        yield step, line


def names_in(function: FunctionType) -> Iterator[tuple[str, object, int]]:
    """Every global that a function names, and what dots lead to from it, with the line."""
    name, found = "", cast("object", None)
    for step, line in steps(function):
        if step.opname == "LOAD_GLOBAL":
            name = str(step.argval)
            found = function.__globals__.get(name, getattr(builtins, name, None))
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
