"""Options that name a file to write: complaints come before the work, not after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from layerweaver.ir.errors import OutputError
from layerweaver.ir.extras import need_extra
from layerweaver.ir.files import are_one_file, check_writable, is_stream

__all__ = [
    "STANDARD_OUTPUT",
    "named_file",
    "note_output",
    "output_file",
    "picture_file",
    "spare",
    "writes_files",
]

STANDARD_OUTPUT = Path("-")

Checked = Callable[[typer.Context, typer.CallbackParam, Path | None], Path | None]
"""The callback of an option that names a file."""

_WRITTEN = "layerweaver.outputs"
"""Where a command's context keeps which option writes which file."""

_DRAWN_BY = {".svg": "matplotlib", ".png": "matplotlib", ".html": "plotly"}


def note_output(context: typer.Context, option: typer.CallbackParam, path: Path) -> None:
    """Remember that an option writes a file.

    Raises:
        OutputError: If another option of the command writes it, too: one of the two would be lost.
    """
    written: dict[str, Path] = context.meta.setdefault(_WRITTEN, {})
    mine = max(option.opts, key=len)
    for other, taken in written.items():
        if other != mine and are_one_file(path, taken):
            raise OutputError(
                f"is what {other} and {mine} write, so that one would be lost",
                where=str(path),
                accepted="give each a file of its own",
            )
    written[mine] = path


def writes_files(context: typer.Context) -> bool:
    """Whether any option of the command writes one."""
    return bool(context.meta.get(_WRITTEN))


def spare(context: typer.Context, read: Iterable[str | Path | None]) -> None:
    """Keep what a command reads.

    Raises:
        OutputError: If one of these files is what an option of the command writes.
    """
    files = [path for path in read if path is not None]
    for option, path in context.meta.get(_WRITTEN, {}).items():
        if any(are_one_file(path, file) for file in files):
            raise OutputError(
                f"is read here and would be lost under {option}",
                where=str(path),
                accepted="give a file of its own",
            )


def output_file(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
    """Callback of an option: the file can be written, and no other option writes it.

    Raises:
        OutputError: If it cannot.
    """
    if path is not None and path != STANDARD_OUTPUT:
        check_writable(path)
        note_output(context, option, path)
    return path


def named_file(*endings: str) -> Checked:
    """Callback of an option: the file's name says what is in it, and the file can be written."""

    def check(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
        if path is not None and not path.name.endswith(endings) and not is_stream(path):
            raise OutputError(
                f"{path.suffix or 'no suffix'} is not what is written here",
                where=str(path),
                accepted=f"give {' or '.join(endings)}",
            )
        return output_file(context, option, path)

    return check


def picture_file(*suffixes: str) -> Checked:
    """Callback of an option: the file can be written, and what draws that kind of picture is installed."""

    def check(context: typer.Context, option: typer.CallbackParam, path: Path | None) -> Path | None:
        if path is None:
            return None
        kind = path.suffix.lower()
        if kind not in suffixes:
            raise OutputError(
                f"no picture ends in {kind!r}", where=str(path), accepted=f"use one of {', '.join(suffixes)}"
            )
        if kind in _DRAWN_BY:
            need_extra(_DRAWN_BY[kind], "drawing", "report", str(path))
        return output_file(context, option, path)

    return check
