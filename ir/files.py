"""Writing files so that either the whole result is there or the old file is.

A file is written beside its place under a passing name and put in place when it is whole. Its mode stays, a
link stays a link, and what is no file (a device, a pipe) is written into and never replaced. The passing file
is locked while it is written: one that nobody locks was left by a process that was killed, and is cleared.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO

from layerweaver.ir.errors import OutputError

try:
    import fcntl
except ImportError:  # elsewhere than on Unix nothing is locked, and nothing left behind is cleared
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "are_one_file",
    "at_home",
    "atomic_write",
    "check_writable",
    "is_file",
    "is_folder",
    "is_stream",
    "open_file",
    "read_bounded",
    "write_text",
]

_LONGEST_STEM_BYTES = 200
_ENDING = ".partial"


def is_file(path: str | Path) -> bool:
    """Whether there is such a file; False, too, for what no file can be called or nobody may look at."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names that are too long


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder, in the same way."""
    return os.path.isdir(path)  # noqa: PTH112


def at_home(text: str) -> Path:
    """A path with ``~`` spelt out; a home that nobody has is the name of a file."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises for it


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading; a pipe must be open already (``/dev/stdin``), else this waits for a writer.

    Raises:
        OSError: If the file cannot be read.
    """
    if stat.S_ISFIFO(Path(path).stat().st_mode) and not _is_open(path):
        raise OSError(errno.EINVAL, "a pipe, not a regular file", str(path))
    return Path(path).open("rb")


def read_bounded(path: Path, most_bytes: int) -> bytes | None:
    """Read a file of at most ``most_bytes``; None when it holds more (devices and pipes may never end).

    Raises:
        OSError: As :func:`open_file`.
    """
    try:
        with open_file(path) as stream:
            data = stream.read(most_bytes + 1)
    except ValueError:  # no file can be called that
        raise OSError(errno.EINVAL, "not a file name", str(path)) from None
    return data if len(data) <= most_bytes else None


def are_one_file(path: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file, there or not; what is no file, such as a device, is never one."""
    if is_stream(Path(path)) or is_stream(Path(other)):
        return False
    try:
        return os.path.samefile(path, other)  # noqa: PTH121
    except (OSError, ValueError):
        pass
    try:
        return os.path.realpath(path) == os.path.realpath(other)
    except (OSError, ValueError):
        return False


def check_writable(path: Path) -> None:
    """Complain now about a file that could not be written later; nothing is changed.

    Raises:
        OutputError: As :func:`atomic_write` would.
    """
    with _refusing(path):
        target, status = _target(path)
        if is_stream(path):
            _check_access(path, status)
            return
        stream, partial = _open_partial(path, target, status)
        stream.close()
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open ``path`` for binary writing; a file appears whole or not at all.

    Any exception (Ctrl-C included) leaves an existing file untouched and nothing beside it.

    Raises:
        OutputError: If the folder does not exist or cannot be written, ``path`` is a folder, the file is
            read-only, or its name too long.
    """
    with _refusing(path):
        target, status = _target(path)
        if is_stream(path):
            _check_access(path, status)
            with Path(path).open("wb") as opened:
                yield opened
            return
        stream, partial = _open_partial(path, target, status)
        try:
            with stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                partial.replace(target)
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


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refusal(path, error.strerror or str(error)) from None


def _refusal(path: Path, reason: str) -> OutputError:
    return OutputError(
        f"cannot be written ({reason})",
        where=str(path),
        accepted="give the path of a writable file in an existing folder",
    )


def _target(path: Path) -> tuple[Path, os.stat_result | None]:
    """Where the path leads, links followed, and what is there."""
    try:
        target = Path(os.path.realpath(path))  # raises in a working folder that was removed
    except ValueError:  # no file can be called that
        raise _refusal(path, "not a file name") from None
    try:
        status = Path(path).stat()  # of the path: what an open pipe is called leads nowhere
    except FileNotFoundError:
        return target, None
    except ValueError:  # no file can be called that
        raise _refusal(path, "not a file name") from None
    if stat.S_ISDIR(status.st_mode):
        raise OutputError("is a folder", where=str(path), accepted="give the path of a file")
    return target, status


def is_stream(path: Path) -> bool:
    """Whether a path is written into where it is: no file, or an open one (``/dev/stdout``)."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return False
    return _is_open(path) or not stat.S_ISREG(status.st_mode)


def _is_open(path: Path) -> bool:
    """Whether a path is a name of what this process has open."""
    top, *names = Path(path).absolute().parts[1:3] or ("",)
    return top == "proc" or (top == "dev" and names in (["stdin"], ["stdout"], ["stderr"], ["fd"]))


def _check_access(path: Path, status: os.stat_result | None) -> None:
    """Read-only files stay as they are, even where the system would let us replace them."""
    if status is not None and not (status.st_mode & 0o222 and os.access(path, os.W_OK)):
        raise _refusal(path, "read-only")


def _open_partial(path: Path, target: Path, status: os.stat_result | None) -> tuple[IO[bytes], Path]:
    """The file beside ``target`` that takes its place when it is whole, locked."""
    _check_access(path, status)
    with contextlib.suppress(FileNotFoundError):
        target.lstat()  # the system says when a name is too long
    _clear_leftovers(target)
    while True:
        partial = target.with_name(f"{_stem(target)}{secrets.token_hex(4)}{_ENDING}")
        stream = partial.open("xb")
        try:
            if _locked(stream, partial):
                if status is not None:
                    _take_after(stream, status)
                return stream, partial
        except BaseException:
            stream.close()
            partial.unlink(missing_ok=True)
            raise
        stream.close()


def _stem(target: Path) -> str:
    """How the passing names of a file begin: as long as names may be, and different for different files."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST_STEM_BYTES:
        name = f"{name[:40]}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    return f".{name}."


def _locked(stream: IO[bytes], partial: Path) -> bool:
    """Lock the passing file; False if another process cleared it before that."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network folders know no locks
        return True
    try:
        return os.path.samestat(os.fstat(stream.fileno()), partial.stat())
    except FileNotFoundError:
        return False


def _take_after(stream: IO[bytes], status: os.stat_result) -> None:
    """Mode and, where possible, owner of the file to be replaced."""
    if hasattr(os, "fchown"):
        with contextlib.suppress(OSError):
            os.fchown(stream.fileno(), status.st_uid, status.st_gid)
    Path(stream.name).chmod(stat.S_IMODE(status.st_mode))


def _clear_leftovers(target: Path) -> None:
    """Remove what killed processes left of earlier writes of the same file."""
    if fcntl is None:
        return
    stem = _stem(target)
    length = len(stem) + 8 + len(_ENDING)
    left: list[str] = []
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        left = [e.path for e in entries if len(e.name) == length and e.name.startswith(stem)]
    for old in left:
        with contextlib.suppress(OSError), Path(old).open("rb") as stream:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            Path(old).unlink()
