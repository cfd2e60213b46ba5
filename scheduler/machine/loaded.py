"""What a process has loaded, as text that names it: functions' code, and their files as they then were.

Files may change while a process runs. What it compiles comes of the code that it loaded, so its digests are
of that code, too; and a file is read once for each module, so that they stay the same while it runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from layerweaver.ir import PolicyError

__all__ = ["code_of_function", "source_of"]

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
    names = function.__code__.co_names
    values = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    defaults = enumerate(function.__defaults__ or ())
    return f"{function.__qualname__} {_text(function.__code__)} {_plain(values)} {_plain(defaults)}"


def _plain(values: Iterable[tuple[object, object]]) -> list[str]:
    """Values whose text says all about them."""
    return [f"{name}={value!r}" for name, value in values if isinstance(value, bool | int | float | str)]


def _text(code: CodeType) -> str:
    """The text of code; that of ``marshal`` differs by how often a process refers to a constant."""
    constants = [_text(item) if isinstance(item, CodeType) else _constant(item) for item in code.co_consts]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return f"{code.co_code.hex()} {code.co_argcount} {code.co_flags} {constants} {names}"


def _constant(value: object) -> str:
    """A set has its members in an order of the process."""
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)
