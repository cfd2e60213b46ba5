"""Arguments of public functions: what is of no type that a function takes is refused in one line."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from layerweaver.ir.errors import LayerweaverError

__all__ = [
    "PATHS",
    "check_flags",
    "check_given",
    "given_count",
    "given_list",
    "given_mapping",
    "given_number",
    "given_whole",
    "whole_number",
    "without_numpy",
]

PATHS = (str, os.PathLike)
"""What a path may be given as."""


def check_given(
    value: object, kinds: type | tuple[type, ...], error: type[LayerweaverError], accepted: str
) -> None:
    """Refuse an argument of another type than these.

    Raises:
        LayerweaverError: Of class ``error``.
    """
    if not isinstance(value, kinds):
        raise error(f"{_shown(value)} is not accepted", accepted=accepted)


def whole_number(value: Any) -> int | None:
    """A whole number, of NumPy too, as an int; None of anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def check_flags(error: type[LayerweaverError], **given: object) -> None:
    """Refuse arguments that are neither True nor False, by their names: a text such as "no" would be true.

    Raises:
        LayerweaverError: Of class ``error``.
    """
    for name, value in given.items():
        if not isinstance(value, (bool, np.bool_)):
            raise error(f"{name} {_shown(value)} is not accepted", accepted="give True or False")


def given_count(name: str, value: object, error: type[LayerweaverError], *, least: int = 1, most: int) -> int:
    """A whole number within limits, of NumPy too, as an int.

    Raises:
        LayerweaverError: Of class ``error``, naming the argument.
    """
    number = whole_number(value)
    what = f"{name} {str(value)[:40]!r} is not accepted"
    if number is None or number < least:
        raise error(what, accepted=f"give a whole number of {least} or more")
    if number > most:
        raise error(what, accepted=f"give a whole number of at most {most:,}")
    return number


def given_number(name: str, value: Any, error: type[LayerweaverError], accepted: str) -> float:
    """A number, of NumPy too, as a float; not one that is infinite, or none at all (NaN).

    Raises:
        LayerweaverError: Of class ``error``, naming the argument.
    """
    known = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    try:
        number = float(value) if known else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise error(f"{name} {_shown(value)} is not accepted", accepted=accepted)
    return number


def given_list(name: str, value: Any, error: type[LayerweaverError], accepted: str) -> list[Any]:
    """What lists, tuples, arrays and generators hold, in their order; a text, a mapping or a set has none.

    Raises:
        LayerweaverError: Of class ``error``, naming the argument.
    """
    known = isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping, Set))
    if not known or (isinstance(value, np.ndarray) and not value.ndim):
        raise error(f"{name} {_shown(value)} is not accepted", accepted=accepted)
    return list(value)


def without_numpy(value: Any) -> Any:
    """Mappings and lists, however nested, with NumPy's numbers and arrays as plain ones."""
    if isinstance(value, Mapping):
        return {key: without_numpy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_numpy(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _shown(value: object) -> str:
    """A value and its kind, short."""
    return f"{str(value)[:40]!r} ({type(value).__name__})"


def given_whole(name: str, value: Any, error: type[LayerweaverError]) -> int:
    """A whole number, of NumPy too, as an int.

    Raises:
        LayerweaverError: Of class ``error``, naming the argument.
    """
    number = whole_number(value)
    if number is None:
        raise error(f"{name} {_shown(value)} is not accepted", accepted="give a whole number")
    return number


def given_mapping(name: str, value: Any, error: type[LayerweaverError]) -> Mapping[str, Any]:
    """A mapping of names; None is an empty one.

    Raises:
        LayerweaverError: Of class ``error``, naming the argument.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise error(f"{name} {_shown(value)} is not accepted", accepted="give a mapping of names to values")
    return value
