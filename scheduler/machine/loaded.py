"""What a process has loaded, as text that names it: functions' code, and their files as they then were.

Files may change while a process runs. What it compiles comes of the code that it loaded, so its digests are
of that code, too; and a file is read once for each module, so that they stay the same while it runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from layerweaver.ir import PolicyError

__all__ = ["code_of_function", "source_of", "values_of"]

_SOURCES = "__layerweaver_sources__"


def source_of(file: str, module: dict[str, Any]) -> str:
    """Digest of a source file as it was when first asked for.

    Args:
        file: The file.
        module: The names of a module, which keep the digest: one that is loaded again has its own.

    Raises:
        PolicyError: If it cannot be read.
    """
    known: dict[str, str] = module.setdefault(_SOURCES, {})
    if file not in known:
        try:
            known[file] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except OSError as error:
            raise PolicyError(
                f"its source cannot be read: {error.strerror}", where=file, accepted="a policy needs a file"
            ) from error
    return known[file]


def code_of_function(function: FunctionType) -> str:
    """What a function does in this process, with the plain values that it names; equal in all processes."""
    defaults = enumerate(function.__defaults__ or ())
    return f"{function.__qualname__} {_text(function.__code__)} {values_of(function)} {_plain(defaults)}"


def values_of(function: FunctionType) -> list[str]:
    """The plain values that a function names, as they are now: compiled code has them as constants."""
    return _plain(_named(function))


def _named(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Names of a function's module, what these lead to, and what a function around it gave it."""
    names = function.__code__.co_names
    for name in names:
        found = function.__globals__.get(name)
        yield name, found
        if isinstance(found, ModuleType | type):
            yield from ((f"{name}.{inner}", getattr(found, inner, None)) for inner in names)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name, cell.cell_contents


def _plain(values: Iterable[tuple[object, object]]) -> list[str]:
    """Values whose text says all about them."""
    told = ((name, _value(value)) for name, value in values)
    return [f"{name}={text}" for name, text in told if text is not None]


def _value(value: object) -> str | None:
    if isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, tuple):
        return str([_value(item) for item in value])
    content: Any = value
    if type(value).__module__ == "numpy" and hasattr(value, "tobytes") and not content.dtype.hasobject:
        digest = hashlib.sha256(content.tobytes()).hexdigest()
        return f"{content.dtype} {content.shape} {digest}"
    return None


def _text(code: CodeType) -> str:
    """The text of code; that of ``marshal`` differs by how often a process refers to a constant."""
    constants = [_text(item) if isinstance(item, CodeType) else _constant(item) for item in code.co_consts]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return f"{code.co_code.hex()} {code.co_argcount} {code.co_flags} {constants} {names}"


def _constant(value: object) -> str:
    """A set has its members in an order of the process."""
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
