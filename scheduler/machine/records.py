"""Records that compiled and plain code read alike: declared as classes of annotated fields."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, get_type_hints

import numpy as np

from layerweaver.ir import PolicyError

__all__ = ["as_objects", "as_records", "declared", "record_type", "records"]

_CACHE_LINE = 64
"""Bytes. Records begin at one, so that a row's record, just as long, costs one access to memory."""

_TYPES = {int: np.int64, float: np.float64}


def record_type(fields: type) -> np.dtype[np.void]:
    """The record that a class declares by its annotations: an int64 per ``int``, a float64 per ``float``.

    Raises:
        PolicyError: If a field is of another type, or has the name of something that NumPy's records have.
    """
    hints = get_type_hints(fields)
    for name, kind in hints.items():
        if kind not in _TYPES:
            raise PolicyError(f"{fields.__name__}.{name} is neither int nor float", accepted="declare either")
    return declared((name, _TYPES[kind]) for name, kind in hints.items())


def declared(fields: Iterable[tuple[str, type]]) -> np.dtype[np.void]:
    """A record of these fields; one field that nobody reads if there are none, as numba needs one.

    Raises:
        PolicyError: If a field has the name of something that NumPy's records have.
    """
    named = list(fields) or [("none", np.int64)]
    for name, _ in named:
        if hasattr(np.record, name):
            raise PolicyError(f"a field cannot be called {name!r}", accepted="take another name")
    return np.dtype(named)


def records(kind: np.dtype[np.void], length: int, *, compiled: bool = True) -> Any:
    """Records of zeros whose fields are read as attributes: for compiled code, or as plain objects."""
    room = np.zeros(length * kind.itemsize + _CACHE_LINE, np.uint8)
    first = -room.ctypes.data % _CACHE_LINE
    zeros = room[first : first + length * kind.itemsize].view(kind).view(np.recarray)
    return zeros if compiled else as_objects(zeros)


def as_objects(given: Any) -> list[Any]:
    """Records as plain objects with Python's numbers: quicker when uncompiled, and without overflow."""
    if isinstance(given, list):
        return given
    names = given.dtype.names
    return [SimpleNamespace(**dict(zip(names, record.tolist(), strict=True))) for record in given]


def as_records(kind: np.dtype[np.void], objects: list[Any]) -> Any:
    """Plain objects as records: setting one field of a record takes microseconds, many at once no longer."""
    made = records(kind, len(objects))
    made[:] = [tuple(vars(item).values()) for item in objects]
    return made
