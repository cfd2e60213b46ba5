"""Arguments of public functions: what is of no type that a function takes is refused in one line."""

from __future__ import annotations

import os

from layerweaver.ir.errors import LayerweaverError

__all__ = ["PATHS", "check_given"]

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
