"""Imported models, and iterations of decoders, by content, in memory and in the user's cache folder.

What is kept depends on the model's bytes, on what it is bound to, and on the code that makes it; all of it is
in an entry's name. Not kept are models with data in other files, and any as long as somebody else's operators
are known.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import LayerGraph, read_bounded
from layerweaver.ir.cache import Cache
from layerweaver.ir.plugins import OPERATORS, others_add

__all__ = [
    "GRAPHS",
    "Imported",
    "code_of",
    "content_of",
    "graph_name",
    "is_current",
    "is_in_memory",
    "keep",
    "kept",
    "remember",
]

GRAPHS = Cache("graphs", most_bytes=1 << 28)
_MOST_HASHED_BYTES = 1 << 26
_EXTERNAL = b"\x0a\x08location"
"""How an ONNX file spells the key that names another file."""

_ROOMS = ("ir", "frontend", "models", "scheduler.compile", "scheduler.iterations")
_MOST_IN_MEMORY = 64
_memory: dict[str, object] = {}

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Imported:
    """What importing a model gave.

    Attributes:
        graph: The layers.
        sha256: Hash of the ONNX file; "" where it was not needed.
        dims: What its symbolic dimensions were bound to.
    """

    graph: LayerGraph
    sha256: str
    dims: Mapping[str, int]


def content_of(path: Path) -> str | None:
    """Hash of an ONNX file that says all about its model; None for others, which are not kept."""
    try:
        data = read_bounded(path, _MOST_HASHED_BYTES)
    except OSError:
        return None
    return None if data is None or _EXTERNAL in data else hashlib.sha256(data).hexdigest()


def graph_name(content: str, ref: str, options: ImportOptions) -> str | None:
    """Name of the entry; None where graphs are not kept.

    Args:
        content: Hash of the model, or the name of one of the zoo.
        ref: What messages call it.
        options: What it is bound to, and how it is imported.
    """
    if _others_operators():
        return None
    said = ((field.name, getattr(options, field.name)) for field in fields(options))
    asked = [(key, sorted(value.items()) if isinstance(value, Mapping) else value) for key, value in said]
    return hashlib.sha256(repr((code_of(_ROOMS), content, ref, asked)).encode()).hexdigest()


def _others_operators() -> bool:
    if others_add(OPERATORS):
        return True
    registry = sys.modules.get("layerweaver.frontend.node.registry")
    return registry is not None and not registry.only_shipped()


@cache
def code_of(rooms: tuple[str, ...]) -> str:
    """Digest of the code of some packages of ours, and of what it stands on, when first asked for."""
    return _code_on_disk(rooms)


def is_current(rooms: tuple[str, ...]) -> bool:
    """Whether that code is still on disk; else what this process makes is kept for nobody."""
    return _code_on_disk(rooms) == code_of(rooms)


def _code_on_disk(rooms: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for distribution in ("layerweaver", "onnx", "numpy"):
        digest.update(metadata.version(distribution).encode() + b"\0")
    digest.update(platform.python_version().encode())
    for room in rooms:
        spec = find_spec(f"layerweaver.{room}")
        for place in (spec and spec.submodule_search_locations) or ():
            for file in sorted(Path(place).rglob("*.py")):
                digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def kept(name: str, kind: type[Kept]) -> Kept | None:
    """What was kept under a name, if anything was."""
    found = _memory.get(name)
    if found is None:
        entry = GRAPHS.read(name)
        if entry is None:
            return None
        try:
            found = pickle.loads(entry)  # noqa: S301 - of our own folder
        except Exception:  # noqa: BLE001 - an entry of other code may break anything
            return None
        if not isinstance(found, kind):
            return None
        remember(_memory, name, found)
    assert isinstance(found, kind)
    return found


def is_in_memory(name: str) -> bool:
    """Whether this process has what was kept under a name."""
    return name in _memory


def keep(name: str, made: object) -> None:
    """Keep what was made."""
    remember(_memory, name, made)
    if is_current(_ROOMS):
        GRAPHS.write(name, pickle.dumps(made))


def remember(memory: dict[str, Any], name: str, made: object) -> None:
    """Keep something in memory; what was kept first goes where there is too much."""
    while len(memory) >= _MOST_IN_MEMORY:
        del memory[next(iter(memory))]
    memory[name] = made
