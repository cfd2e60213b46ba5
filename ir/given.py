"""Arguments of public functions: what is of no type that a function takes is refused in one line."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from typing import Any

from layerweaver.ir.errors import LayerweaverError

__all__ = ["PATHS", "check_counts", "check_given", "given_mapping", "given_whole"]

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
        raise error(f"{str(value)[:40]!r} ({type(value).__name__}) is not accepted", accepted=accepted)


def _whole(value: Any) -> int | None:
    """A whole number, of NumPy too, as an int; None of anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def check_counts(error: type[LayerweaverError], least: int = 1, **given: object) -> None:
    """Refuse arguments that are no whole numbers of ``least`` or more, by their names.

    Raises:
        LayerweaverError: Of class ``error``.
    """
    for name, value in given.items():
        number = _whole(value)
        if number is None or number < least:
            raise error(
                f"{name} {str(value)[:40]!r} is not accepted",
                accepted=f"give a whole number of {least} or more",
            )


def given_whole(name: str, value: Any, error: type[LayerweaverError]) -> int:
    """A whole number, of NumPy too, as an int.

    Raises:
        LayerweaverError: Of class ``error``, naming the argument.
    """
    number = _whole(value)
    if number is None:
        what = f"{name} {str(value)[:40]!r} ({type(value).__name__}) is not accepted"
        raise error(what, accepted="give a whole number")
    return number


def given_mapping(name: str, value: Any, error: type[LayerweaverError]) -> Mapping[Any, Any]:
    """A mapping; None is an empty one.

    Raises:
        LayerweaverError: Of class ``error``, naming the argument.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        what = f"{name} {str(value)[:40]!r} ({type(value).__name__}) is not accepted"
        raise error(what, accepted="give a mapping of names to values")
    return value
