"""Tuples that are kept under a name, such as a key by which rows are compared: as names of their parts."""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["without_tuples"]


def without_tuples(body: list[ast.stmt], taken: tuple[str, ...]) -> list[ast.stmt]:
    """Statements in which every local that is always a tuple of one length is a local per part.

    Args:
        body: The statements of a function.
        taken: Names that the function has.
    """
    lengths = _lengths(body)
    names = {name: _parts_of(name, count, taken) for name, count in lengths.items()}
    return (
        [ast.fix_missing_locations(_Parts(names).visit(statement)) for statement in body] if names else body
    )


def _parts_of(name: str, count: int, taken: tuple[str, ...]) -> list[str]:
    parts = [f"{name}_{k}" for k in range(count)]
    while any(part in taken for part in parts):
        parts = [f"{part}_" for part in parts]
    return parts


def _lengths(body: list[ast.stmt]) -> dict[str, int]:
    """Locals that are given nothing but tuples of one length."""
    given: dict[str, list[ast.expr | None]] = {}
    for statement in body:
        for node in ast.walk(statement):
            for name, value in _given(node):
                given.setdefault(name, []).append(value)
    lengths = {
        name: len(value.elts)
        for name, values in given.items()
        for value in values
        if isinstance(value, ast.Tuple)
    }
    while True:
        for name, values in given.items():
            for value in values:
                if isinstance(value, ast.Name) and value.id in lengths:
                    lengths.setdefault(name, lengths[value.id])
        odd = [
            name
            for name, count in lengths.items()
            if any(_length(value, lengths) != count for value in given[name])
        ]
        if not odd:
            return lengths
        for name in odd:
            del lengths[name], given[name]


def _length(value: ast.expr | None, lengths: dict[str, int]) -> int | None:
    if isinstance(value, ast.Name):
        return lengths.get(value.id)
    return len(value.elts) if isinstance(value, ast.Tuple) else None


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr | None]]:
    """Names that a node gives a value, and which; None if it is none that is written there."""
    match node:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                yield from _paired(target, value)
        case ast.AnnAssign(target=target, value=value) if value is not None:
            yield from _paired(target, value)
        case ast.AugAssign(target=ast.Name(id=name)) | ast.For(target=ast.Name(id=name)):
            yield name, None


def _paired(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            for part, item in zip(targets, values, strict=True):
                yield from _paired(part, item)
        case ast.Tuple(elts=targets), _:
            for part in targets:
                yield from _paired(part, None)


class _Parts(ast.NodeTransformer):
    """Writes names of parts instead of a tuple's name."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A tuple's name is the tuple of its parts."""
        if node.id not in self._names:
            return node
        parts = [ast.copy_location(ast.Name(part, node.ctx), node) for part in self._names[node.id]]
        return ast.copy_location(ast.Tuple(list(parts), node.ctx), node)

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        """Tuples within tuples are written flat, on both sides alike."""
        self.generic_visit(node)
        if len(node.targets) == 1:
            target, value = _flat(node.targets[0], node.value)
            node.targets, node.value = [target], value
        return node


def _flat(target: ast.expr, value: ast.expr) -> tuple[ast.expr, ast.expr]:
    if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)):
        return target, value
    targets: list[ast.expr] = []
    values: list[ast.expr] = []
    for part, item in zip(target.elts, value.elts, strict=True):
        inner, of = _flat(part, item)
        if isinstance(inner, ast.Tuple) and isinstance(of, ast.Tuple):
            targets += inner.elts
            values += of.elts
        else:
            targets.append(inner)
            values.append(of)
    target.elts, value.elts = targets, values
    return target, value
