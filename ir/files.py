"""Writing files so that either the whole result is there or the old file is."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from layerweaver.ir.errors import OutputError

__all__ = ["atomic_write", "read_bounded", "write_text"]


def read_bounded(path: Path, most_bytes: int) -> bytes | None:
    """Read a file of at most ``most_bytes``; None when it holds more (devices and pipes may never end).

    Raises:
        OSError: If the file cannot be read.
    """
    with Path(path).open("rb") as stream:
        data = stream.read(most_bytes + 1)
    return data if len(data) <= most_bytes else None


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` for binary writing and rename it over ``path`` on success.

    Any exception (Ctrl-C included) removes the temporary file and leaves an existing ``path`` untouched.

    Raises:
        OutputError: If the folder does not exist or cannot be written, or ``path`` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError("is a folder", where=str(path), accepted="give the path of a file")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        stream = partial.open("xb")
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror})",
            where=str(path),
            accepted="give a path in an existing, writable folder",
        ) from None
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot be written ({error.strerror})", where=str(path)) from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically.

    Raises:
        OutputError: As :func:`atomic_write`.
    """
    with atomic_write(path) as stream:
        stream.write(text.encode())
