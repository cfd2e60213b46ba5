"""Where a policy writes what is not its own: what it is shown, and what its module holds between runs."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Collection, Iterator, Mapping
from types import FunctionType
from typing import Any, TypeAlias

from layerweaver.scheduler.policies.chance import called, names_in, steps

__all__ = ["find_kept", "find_writes"]

_SHOWN = {"ready", "heads", "fetches"}
"""The lists of :class:`~layerweaver.scheduler.machine.view.View` that are the simulator's alone."""
_KEEPS = ("STORE_GLOBAL", "DELETE_GLOBAL")
_MUTABLE = (dict, list, set, bytearray)
_Path: TypeAlias = tuple[str, ...]


def find_writes(function: FunctionType, own: Collection[str]) -> tuple[str, str, int] | None:
    """Where a function, or one that it calls, assigns what it is shown and may not: what, file and line.

    Args:
        function: What chooses.
        own: Fields that it may assign.
    """
    for reached in called(function):
        for step, line in steps(reached):
            if step.opname == "STORE_ATTR" and step.argval not in own:
                return str(step.argval), reached.__code__.co_filename, line
        for path, line in _entries(reached):
            if "tables" not in path and (shown := [name for name in path if name in _SHOWN]):
                return f"an entry of {shown[0]}", reached.__code__.co_filename, line
    return None


def find_kept(function: FunctionType) -> tuple[str, str, int] | None:
    """Where it names what its module may hold from run to run, and that is no constant: as the other."""
    for reached in called(function):
        code = reached.__code__
        for step, line in steps(reached):
            of_another = step.opname == "STORE_DEREF" and step.argval in code.co_freevars
            if step.opname in _KEEPS or of_another:
                return str(step.argval), code.co_filename, line
        for name, found, line in names_in(reached):
            if isinstance(found, _MUTABLE):
                return name, code.co_filename, line
        for path, line in _entries(reached):
            if path[0] not in code.co_varnames and path[0] in reached.__globals__:
                return path[0], code.co_filename, line
    return None


def _entries(function: FunctionType) -> Iterator[tuple[_Path, int]]:
    """Whose entries a function assigns, as dotted names from where they come, with the line.

    Nothing of a function whose source is not there.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # the lines of a lambda may be a part of something
        return
    known = dict(_aliases(tree))
    first = function.__code__.co_firstlineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            path = _path(node.value, known)
            if path:
                yield path, first + node.lineno - 1


def _aliases(tree: ast.AST) -> Iterator[tuple[str, _Path]]:
    """What names stand for that are assigned other names: ``machine, heads = view.machine, view.heads``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            for name, value in _pairs(target, node.value):
                if isinstance(name, ast.Name) and (path := _path(value, {})):
                    yield name.id, path


def _pairs(target: Any, value: Any) -> Iterator[tuple[ast.AST, ast.AST]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        yield from zip(target.elts, value.elts, strict=False)
    else:
        yield target, value


def _path(node: ast.AST, known: Mapping[str, _Path]) -> _Path:
    """The names that lead to something; none of what is made on the spot."""
    after: list[str] = []
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Attribute):
            after.insert(0, node.attr)
        node = node.value
    return (*known.get(node.id, (node.id,)), *after) if isinstance(node, ast.Name) else ()
