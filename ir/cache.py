"""Folders of the user in which what was worked out is kept between runs.

An entry is bytes under a name that says all that they depend on, so it is never wrong, only there or not:
whatever is damaged, unreadable or cannot be written is a miss. A folder is used only if it belongs to the
user and nobody else may write into it, since what is read from it may be code.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from layerweaver.ir.errors import OutputError
from layerweaver.ir.files import atomic_write

__all__ = ["Cache"]

LOGGER = logging.getLogger("layerweaver")
_DIGEST_BYTES = 32
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Cache:
    """Entries by name in a folder of the user.

    Args:
        kind: Name of the folder below the user's cache folder, and what notes call it.
        most_bytes: Where the entries grow beyond it, those not used for longest go.
        variable: Environment variable that may name another place than the user's cache folder.

    Why something is not kept where it should be is noted once per process, for all caches: the reason is one.
    """

    _noted = False

    def __init__(self, kind: str, most_bytes: int, variable: str | None = None) -> None:
        self.kind = kind
        self._most_bytes = most_bytes
        self._variable = variable

    @functools.cached_property
    def folder(self) -> Path | None:
        """Where entries are; None where no folder can be written."""
        refused: list[str] = []
        for place in self._places():
            path = place / self.kind
            reason = _unusable(path)
            if reason is None:
                if refused:
                    self._note(f"kept in {path}, since {refused[0]}")
                return path
            refused.append(f"{path} {reason}")
        self._note(f"not kept, since {'; '.join(refused) or 'there is no folder for it'}")
        return None

    def _places(self) -> Iterator[Path]:
        from platformdirs import user_cache_path  # noqa: PLC0415 - only where something is cached

        asked = os.environ.get(self._variable, "") if self._variable else ""
        if asked:
            yield Path(asked).absolute() / "layerweaver"
        yield user_cache_path("layerweaver", appauthor=False)
        owner = os.getuid() if hasattr(os, "getuid") else "user"
        yield Path(tempfile.gettempdir()).absolute() / f"layerweaver-{owner}"

    def _note(self, text: str) -> None:
        if not Cache._noted:
            Cache._noted = True
            LOGGER.info("cache of %s: %s", self.kind, text)

    def has(self, name: str) -> bool:
        """Whether there is an entry whose name begins so; it may still turn out to be damaged."""
        folder = self.folder
        return folder is not None and next(folder.glob(f"{name}*"), None) is not None

    def read(self, name: str) -> bytes | None:
        """An entry as it was written; None if there is none."""
        if self.folder is None:
            return None
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError:
            return None
        entry = data[_DIGEST_BYTES:]
        if hashlib.sha256(entry).digest() != data[:_DIGEST_BYTES]:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return entry

    def size_of(self, name: str) -> int:
        """Bytes of an entry; 0 if there is none."""
        try:
            return 0 if self.folder is None else (self.folder / name).stat().st_size
        except OSError:
            return 0

    def write(self, name: str, entry: bytes) -> None:
        """Keep an entry, if that is possible."""
        if self.folder is None:
            return
        try:
            with atomic_write(self.folder / name) as stream:
                stream.write(hashlib.sha256(entry).digest() + entry)
        except OutputError as error:
            self._note(f"not kept, since {error}")
        self._shrink()

    def size(self) -> dict[str, int]:
        """Number of entries and their bytes."""
        sizes = [status.st_size for _, status in self._entries()]
        return {"entries": len(sizes), "bytes": sum(sizes)}

    def clear(self) -> None:
        """Remove every entry."""
        for path, _ in self._entries():
            with contextlib.suppress(OSError):
                path.unlink()

    def _entries(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        if self.folder is not None:
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):  # another process may remove it meanwhile
                    found.append((path, path.lstat()))
        return found

    def _shrink(self) -> None:
        files = self._entries()
        excess = sum(status.st_size for _, status in files) - self._most_bytes
        for path, status in sorted(files, key=lambda file: (file[1].st_mtime_ns, file[0].name)):
            if excess <= 0:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= status.st_size


def _unusable(path: Path) -> str | None:
    """Why a folder is not used; it is made if it is not there."""
    if not path.is_absolute():
        return "is no absolute path"
    above = path.parent
    try:
        above.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        # Whoever owns the folder above, or a link on the way, can put another in place of what was looked at.
        owners = {status.st_uid for each in (above, path) for status in (each.lstat(), each.stat())}
        if hasattr(os, "getuid") and owners != {os.getuid()}:
            return "belongs to somebody else"
        if os.name == "posix" and above.stat().st_mode & _OTHERS:
            above.chmod(above.stat().st_mode & 0o700)
        status = path.stat()
    except OSError as error:
        return f"cannot be made ({error.strerror})"
    if os.name == "posix" and status.st_mode & _OTHERS:
        return "can be written by others"
    return None if os.access(path, os.W_OK | os.X_OK) else "cannot be written"
