"""The files that a study names, by content: workers elsewhere share no folder with the one who asks."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from layerweaver.ir import OutputError

__all__ = ["Parcel", "named_files", "pack", "texts_of"]

_MOST_FILE_BYTES = 1 << 28
_LONGEST_PATH = 4096


def named_files(value: Any, home: Path) -> dict[str, Path]:
    """The files that a document names, by what names them.

    Args:
        value: The document: mappings, lists and texts.
        home: Folder that its paths are relative to.
    """
    found: dict[str, Path] = {}
    for text in texts_of(value):
        # A policy's file may have options behind it.
        for named in (text, text.partition(":")[0]):
            try:
                path = home / Path(named).expanduser()
                if PurePath(named).suffix and path.is_file():
                    found[named] = path
                    break
            except (OSError, RuntimeError, ValueError):  # it names no file
                continue
    return found


def texts_of(value: Any) -> Iterator[str]:
    """The texts of a document that could name something."""
    if isinstance(value, Mapping):
        value = value.values()
    elif isinstance(value, str):
        if value and len(value) <= _LONGEST_PATH and "\0" not in value:
            yield value
        return
    elif not isinstance(value, (list, tuple)):
        return
    for item in value:
        yield from texts_of(item)


@dataclass(frozen=True)
class Parcel:
    """Files that travel, and where they were.

    Attributes:
        files: Contents by place below ``root``.
        root: The folder that all of them and ``home`` lie in.
        home: Place of the scenario's folder below it.
        given_home: What that folder is called where the study is.
        absolute: Texts that name a file by its whole path, with its place below ``root``.
    """

    files: Mapping[str, bytes]
    root: str
    home: str
    given_home: str
    absolute: Mapping[str, str]

    def __hash__(self) -> int:
        return hash(self._digest)

    @functools.cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        for place, content in sorted(self.files.items()):
            digest.update(f"{place}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def unpacked(self) -> Path:
        """Where this process has the files; they are written once."""
        return Path(_unpacked(self).name)

    def home_here(self) -> Path:
        """The scenario's folder in this process."""
        home = self.unpacked() / self.home
        home.mkdir(parents=True, exist_ok=True)
        return home

    def moved(self, value: Any) -> Any:
        """A document with whole paths as they are in this process."""
        if isinstance(value, Mapping):
            return {key: self.moved(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.moved(item) for item in value]
        place = self.absolute.get(value) if isinstance(value, str) else None
        return value if place is None else str(self.unpacked() / place)

    def told(self, text: str) -> str:
        """A message with the paths of the place where the study is."""
        here = f"{self.unpacked()}{os.sep}"
        home = "" if self.home == "." else f"{self.home}{os.sep}"
        given = "" if self.given_home == "." else f"{self.given_home}{os.sep}"
        return text.replace(f"{here}{home}", given).replace(here, f"{self.root.rstrip(os.sep)}{os.sep}")


@functools.lru_cache(maxsize=4)
def _unpacked(parcel: Parcel) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="layerweaver-")
    for place, content in parcel.files.items():
        file = Path(folder.name) / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def pack(values: Iterable[Any], home: Path) -> Parcel:
    """Read the files that documents name.

    Raises:
        OutputError: If a file is too large to travel or cannot be read.
    """
    named: dict[str, Path] = {}
    for value in values:
        named |= named_files(value, home)
    folder = home.absolute()
    places = {text: Path(os.path.normpath(path.absolute())) for text, path in named.items()}
    here = os.path.normpath(folder)
    root = os.path.commonpath([here, *map(str, places.values())])
    below = {text: os.path.relpath(path, root) for text, path in places.items()}
    files: dict[str, bytes] = {}
    for text, path in places.items():
        if path.stat().st_size > _MOST_FILE_BYTES:
            raise OutputError(
                f"is larger than {_MOST_FILE_BYTES >> 20} MiB",
                where=str(path),
                accepted="models without weights",
            )
        files[below[text]] = path.read_bytes()
    absolute = {text: place for text, place in below.items() if Path(text).expanduser().is_absolute()}
    return Parcel(files, root, os.path.relpath(here, root), str(home), absolute)
