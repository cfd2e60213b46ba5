"""Options that name a file to write: complaints come before the work, not after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from layerweaver.ir.errors import OutputError
from layerweaver.ir.extras import need_extra
from layerweaver.ir.files import check_writable, is_stream

__all__ = ["STANDARD_OUTPUT", "named_file", "output_file", "picture_file"]

STANDARD_OUTPUT = Path("-")

_DRAWN_BY = {".svg": "matplotlib", ".png": "matplotlib", ".html": "plotly"}


def output_file(path: Path | None) -> Path | None:
    """Callback of an option: the file can be written.

    Raises:
        OutputError: If it cannot.
    """
    if path is not None and path != STANDARD_OUTPUT:
        check_writable(path)
    return path


def named_file(*endings: str) -> Callable[[Path | None], Path | None]:
    """Callback of an option: the file's name says what is in it, and the file can be written."""

    def check(path: Path | None) -> Path | None:
        if path is not None and not path.name.endswith(endings) and not is_stream(path):
            raise OutputError(
                f"{path.suffix or 'no suffix'} is not what is written here",
                where=str(path),
                accepted=f"give {' or '.join(endings)}",
            )
        return output_file(path)

    return check


def picture_file(*suffixes: str) -> Callable[[Path | None], Path | None]:
    """Callback of an option: the file can be written, and what draws that kind of picture is installed."""

    def check(path: Path | None) -> Path | None:
        if path is None:
            return None
        kind = path.suffix.lower()
        if kind not in suffixes:
            raise OutputError(
                f"no picture ends in {kind!r}", where=str(path), accepted=f"use one of {', '.join(suffixes)}"
            )
        if kind in _DRAWN_BY:
            need_extra(_DRAWN_BY[kind], "drawing", "report", str(path))
        return output_file(path)

    return check
