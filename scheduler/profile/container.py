"""Reading the container of a profile: a stored zip with a manifest and ``.npy`` members, trusting nothing."""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from pydantic import ValidationError

from layerweaver.ir import ProfileError
from layerweaver.ir.files import open_file
from layerweaver.ir.json_text import parse_json
from layerweaver.ir.limits import MAX_QUANTITY
from layerweaver.scheduler.profile.manifest import FORMAT, VERSION, Manifest, complaint

__all__ = ["MANIFEST", "MAX_FILE_BYTES", "MAX_MANIFEST_BYTES", "MEND", "Container"]

MANIFEST = "manifest.json"
MAX_FILE_BYTES = 2**28
MAX_MANIFEST_BYTES = 2**26
MEND = "compile it again with `layerweaver compile`"
_MAX_MEMBERS = 100_000
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    KeyError,
    struct.error,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
)
"""What reading a damaged archive, or an array with a header that is none, raises."""


class Container:
    """An opened profile, with the names of its members checked.

    Args:
        source: The file, or what it holds.
        where: What messages call it.
    """

    def __init__(self, source: Path | bytes, where: str) -> None:
        self.where = where
        data = self._bytes(source) if isinstance(source, Path) else source
        if not data.startswith(b"PK"):
            self.refuse("is not a schedule profile", "give a file written by `layerweaver compile`")
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            infos = self._archive.infolist()
        except _UNREADABLE:
            self.refuse("is damaged or cut off", MEND)
        if len(infos) > _MAX_MEMBERS or len({info.filename for info in infos}) != len(infos):
            self.refuse("has too many or repeated members", MEND)
        for info in infos:
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data):
                self.refuse(f"member {info.filename[:80]!r} is compressed or larger than the file", MEND)
        self.names = {info.filename for info in infos}

    def _bytes(self, path: Path) -> bytes:
        try:
            with open_file(path) as stream:
                data = stream.read(2)
                if data == b"PK":
                    data += stream.read(MAX_FILE_BYTES - 1)
        except FileNotFoundError:
            self.refuse("no such file", "give the path of a .lwp file")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "unusable path"
            self.refuse(f"cannot be read ({reason})", "give the path of a .lwp file")
        if len(data) > MAX_FILE_BYTES:
            self.refuse(f"is larger than {MAX_FILE_BYTES} bytes", "split it into several profiles")
        return data

    def refuse(self, what: str, accepted: str = "") -> NoReturn:
        """Raise the one error that every fault of a profile gives."""
        raise ProfileError(what, where=self.where, accepted=accepted)

    def manifest(self) -> Manifest:
        """The validated manifest; format and version are judged before the rest."""
        if MANIFEST not in self.names:
            self.refuse("is not a schedule profile", "give a file written by `layerweaver compile`")
        if self._archive.getinfo(MANIFEST).file_size > MAX_MANIFEST_BYTES:
            self.refuse(f"its manifest is larger than {MAX_MANIFEST_BYTES} bytes", MEND)
        try:
            data = self._archive.read(MANIFEST)
            document = parse_json(data)
        except (*_UNREADABLE, RecursionError):
            self.refuse("its manifest is damaged", MEND)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            self.refuse("is not a schedule profile", "give a file written by `layerweaver compile`")
        version = document.get("version")
        if isinstance(version, int) and version > VERSION:
            self.refuse(
                f"is of version {str(version)[:20]}, newer than this tool understands",
                f"use a newer layerweaver, or compile it again as version {VERSION}",
            )
        del document  # it may take several times the room of its text
        try:
            return Manifest.model_validate_json(data)
        except (ValidationError, RecursionError, ValueError) as error:
            detail = complaint(error) if isinstance(error, ValidationError) else "unusable"
            self.refuse(f"its manifest is wrong at {detail}", MEND)

    def array(self, name: str, rows: int, kind: str) -> NDArray[Any]:
        """As :meth:`numbers`, and neither negative nor infinite nor above the largest quantity."""
        values = self.numbers(name, rows, kind)
        if len(values) and not (
            np.isfinite(values).all() and values.min() >= 0 and values.max() <= MAX_QUANTITY
        ):
            self.refuse(f"{name} has values outside 0..2^45", MEND)
        return values

    def numbers(self, name: str, rows: int, kind: str) -> NDArray[Any]:
        """A one-dimensional array of ``rows`` elements of element type ``kind``."""
        if name not in self.names:
            self.refuse(f"lacks {name}", MEND)
        try:
            member = io.BytesIO(self._archive.read(name))
            if npy_format.read_magic(member) != (1, 0):
                self.refuse(f"{name} is not a version 1.0 array", MEND)
            shape, _, dtype = npy_format.read_array_header_1_0(member)
            body = member.getbuffer()[member.tell() :]
        except _UNREADABLE:
            self.refuse(f"{name} is damaged", MEND)
        if dtype != np.dtype(kind) or shape != (rows,) or len(body) != rows * 8:
            self.refuse(f"{name} is not {rows} numbers of type {kind}", MEND)
        return np.frombuffer(body, dtype=kind).astype(np.dtype(kind).newbyteorder("="))
