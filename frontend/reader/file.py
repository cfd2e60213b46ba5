"""Reading ONNX files: structure, types and small constants; weights are skipped, never loaded.

The protobuf wire format is walked over a memory map, so that embedded weights of any size cost neither
time nor memory. Field numbers are those of onnx.proto, IR versions 1 to 14; fields of later versions are
skipped. Files are untrusted: depth, counts, lengths and extents are bounded, and whatever is wrong is a
one-line :class:`~layerweaver.ir.errors.ModelError`.
"""

from __future__ import annotations

import hashlib
import mmap
import stat
from pathlib import Path

from layerweaver.frontend.reader.function import read_function, read_opset_import
from layerweaver.frontend.reader.graph import GraphReader
from layerweaver.frontend.reader.model import OnnxFunction, OnnxGraph, OnnxModel
from layerweaver.frontend.reader.wire import LENGTH, VARINT, Buffer, WireError, fields, int64_of
from layerweaver.ir.errors import ModelError

__all__ = ["file_sha256", "read_model", "read_model_bytes"]

_IR_VERSION = 1 << 3 | VARINT
_PRODUCER = 2 << 3 | LENGTH
_PRODUCER_VERSION = 3 << 3 | LENGTH
_GRAPH = 7 << 3 | LENGTH
_OPSET = 8 << 3 | LENGTH
_FUNCTION = 25 << 3 | LENGTH
_STRICT_FIELDS = frozenset((1, 7, 8, 25))

MAX_IR_VERSION = 1000
_FIRST_IR_WITH_OPSETS = 3
_ACCEPTED = "give an ONNX model in binary protobuf form (.onnx)"

_OPENVINO = "an OpenVINO model: give the .onnx file that it was made from"
_HTML = "an HTML page: the download gave a page instead of the file"

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "a ZIP archive (or a PyTorch checkpoint): unpack or export it"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\x89HDF", "an HDF5 (Keras) file: export it to ONNX"),
    *((0, bytes((0x80, version)), "a Python pickle: export the model to ONNX") for version in range(2, 6)),
    (8, b'{"', "a safetensors file, which holds weights and no graph: export the model to ONNX"),
    (0, b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (4, b"TFL3", "a TensorFlow Lite model: convert it to ONNX"),
    (4, b"ORTM", "an ONNX Runtime .ort file: give the .onnx file that it was made from"),
    (0, b"GGUF", "a GGUF file: export the model to ONNX"),
    (0, b"ir_version", "ONNX in text form: save it in binary form"),
    (0, b"<net ", _OPENVINO),
    (0, b"<!doctype html", _HTML),
    (0, b"<html", _HTML),
    (0, b"<", "a text file: save the model in binary form"),
    (0, b"{", "a JSON file: save the model in binary form"),
)


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal (about a second per gigabyte).

    Raises:
        ModelError: If the file cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def read_model(path: str | Path) -> OnnxModel:
    """Read an ONNX file without its weights.

    Args:
        path: A .onnx file of any size. External data need not exist; small constants in them are read if
            they do.

    Returns:
        The model; ``source`` is the path as given and ``sha256`` is left empty (see :func:`file_sha256`).

    Raises:
        ModelError: If the file is missing, not readable, not an ONNX model, damaged, or beyond the bounds.
    """
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ModelError("is a folder", where=str(path), accepted=_ACCEPTED)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError("is not a regular file", where=str(path), accepted=_ACCEPTED)
        if status.st_size == 0:
            raise ModelError("is empty", where=str(path), accepted=_ACCEPTED)
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _read(mapped, str(path), path.parent)
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        # A path with a NUL, or a file that was emptied before it could be mapped.
        raise ModelError(f"cannot be read ({error})", where=repr(str(path)), accepted=_ACCEPTED) from None


def read_model_bytes(data: bytes, source: str) -> OnnxModel:
    """Read a serialized model that is already in memory.

    Args:
        data: Serialized ModelProto.
        source: What to call it in messages.

    Raises:
        ModelError: As :func:`read_model`.
    """
    if not data:
        raise ModelError("is empty", where=source, accepted=_ACCEPTED)
    return _read(data, source, None)


def _unreadable(path: Path, error: OSError) -> ModelError:
    if isinstance(error, FileNotFoundError):
        return ModelError("does not exist", where=str(path), accepted=_ACCEPTED)
    return ModelError(f"cannot be read ({error.strerror})", where=str(path), accepted=_ACCEPTED)


def _read(buffer: Buffer, source: str, folder: Path | None) -> OnnxModel:
    try:
        return _read_model(buffer, source, folder)
    except WireError as error:
        looks = _looks_like(buffer)
        if looks:
            raise ModelError(
                "is not an ONNX model", where=source, accepted=f"it looks like {looks}"
            ) from None
        place = f", {error.place}" if error.place else ""
        raise ModelError(
            error.what, where=f"{source}, byte {error.offset}{place}", accepted=_ACCEPTED
        ) from None


def _looks_like(buffer: Buffer) -> str:
    head = buffer[:4096]
    page = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if page.startswith(b"<?xml"):
        page = page[page.find(b"<net ") :] if b"<net " in page else page
    elif page.startswith(b"<"):
        page = page[:16].lower()
    text = page if page.startswith(b"<") else head
    for offset, magic, name in _SIGNATURES:
        if text.startswith(magic, offset):
            return name
    if all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in head[:64]):
        return "a text file: save the model in binary form"
    return ""


def _read_model(buffer: Buffer, source: str, folder: Path | None) -> OnnxModel:
    reader = GraphReader(buffer, folder)
    ir_version = 0
    producer = ["", ""]
    opset_imports: dict[str, int] = {}
    functions: dict[tuple[str, str], OnnxFunction] = {}
    graph: OnnxGraph | None = None
    for tag, a, b in fields(buffer, 0, len(buffer)):
        if tag == _IR_VERSION:
            ir_version = int64_of(a)
        elif tag in (_PRODUCER, _PRODUCER_VERSION):
            producer[(tag >> 3) - 2] = _lenient(buffer, a, b)
        elif tag == _GRAPH:
            if graph is not None:
                raise WireError("there are two graphs in the model", a)
            graph = reader.graph(a, b)
        elif tag == _OPSET:
            domain, version = read_opset_import(buffer, a, b)
            opset_imports[domain] = version
        elif tag == _FUNCTION:
            function = read_function(reader, buffer, a, b)
            key = (function.domain, function.name)
            if key in functions:
                raise WireError(f"there are two functions {key[0]}::{key[1]}", a)
            functions[key] = function
        elif tag >> 3 in _STRICT_FIELDS:
            raise WireError(f"field {tag >> 3} of the model has wire type {tag & 7}", a)
    if graph is None:
        raise WireError("there is no graph in it: this is not an ONNX model", 0)
    if not 0 < ir_version <= MAX_IR_VERSION:
        raise WireError(f"the IR version is {ir_version}: this is not an ONNX model", 0)
    if not opset_imports:
        if ir_version >= _FIRST_IR_WITH_OPSETS and not functions:
            raise WireError("no operator set is imported: this is not a complete ONNX model", 0)
        opset_imports[""] = 1
    return OnnxModel(source, ir_version, " ".join(filter(None, producer)), opset_imports, graph, functions)


def _lenient(buffer: Buffer, start: int, end: int) -> str:
    """Text that is only shown."""
    return buffer[start : min(end, start + 256)].decode(errors="replace")
