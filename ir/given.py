"""Arguments of public functions: what is of no type that a function takes is refused in one line."""

from __future__ import annotations

import operator
import os

from layerweaver.ir.errors import LayerweaverError

__all__ = ["PATHS", "check_counts", "check_given"]

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


def check_counts(error: type[LayerweaverError], least: int = 1, **given: object) -> None:
    """Refuse arguments that are no whole numbers of ``least`` or more, by their names.

    Raises:
        LayerweaverError: Of class ``error``.
    """
    for name, value in given.items():
        try:
            number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            number = None
        if number is None or number < least:
            raise error(
                f"{name} {str(value)[:40]!r} is not accepted",
                accepted=f"give a whole number of {least} or more",
            )
