"""Matching small trees of operators from their root backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from layerweaver.frontend.lowering.draft import Draft, DraftGraph

__all__ = ["Constant", "Input", "Match", "Operator", "Pattern", "find"]


@dataclass(frozen=True, slots=True)
class Input:
    """The activation that enters the pattern: the same one wherever it stands."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Anything that is not an activation."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One of several operators with these leading operands; sums and products in either order."""

    names: tuple[str, ...]
    operands: tuple[Pattern, ...]


Pattern: TypeAlias = Input | Constant | Operator | tuple["Pattern", ...]
"""A tree; a tuple is a choice."""

_COMMUTATIVE = frozenset({"Add", "Mul"})


@dataclass(slots=True)
class Match:
    """What a pattern stands on.

    Attributes:
        entry: Storage that enters it; "" before it is known.
        drafts: The drafts it covers, by position.
    """

    entry: str
    drafts: dict[int, Draft]


def find(graph: DraftGraph, root: Draft, pattern: Operator) -> Match | None:
    """Match ``pattern`` at ``root``; None when it does not fit or something inside is used elsewhere."""
    match = _draft(graph, root, pattern, Match("", {}))
    if match is None or not match.entry or len(match.drafts) < 2:
        return None
    for draft in match.drafts.values():
        if draft is root:
            continue
        for storage in draft.writes:
            if storage in graph.pinned:
                return None
            if any(reader.position not in match.drafts for reader in graph.readers(storage)):
                return None
    return match


def _draft(graph: DraftGraph, draft: Draft, pattern: Operator, match: Match) -> Match | None:
    if draft.operator not in pattern.names:
        return None
    if len(draft.operands) < len(pattern.operands):
        return None
    covered = Match(match.entry, {**match.drafts, draft.position: draft})
    operands = draft.operands[: len(pattern.operands)]
    straight = _operands(graph, operands, pattern.operands, covered)
    if straight is None and draft.operator in _COMMUTATIVE and len(operands) == 2:
        return _operands(graph, operands[::-1], pattern.operands, covered)
    return straight


def _operands(
    graph: DraftGraph, names: tuple[str, ...], patterns: tuple[Pattern, ...], match: Match | None
) -> Match | None:
    # Trees first: they bind the entry to what is really shared before a bare Input takes anything.
    for index in sorted(range(len(names)), key=lambda position: isinstance(patterns[position], Input)):
        if match is None:
            return None
        match = _operand(graph, names[index], patterns[index], match)
    return match


def _operand(graph: DraftGraph, name: str, pattern: Pattern, match: Match) -> Match | None:
    activation = name in graph.storages
    if isinstance(pattern, tuple):
        for choice in pattern:
            found = _operand(graph, name, choice, match)
            if found is not None:
                return found
        return None
    if isinstance(pattern, Constant):
        return None if activation else match
    if not activation:
        return None
    if isinstance(pattern, Input):
        return Match(name, match.drafts) if match.entry in ("", name) else None
    writer = graph.writer(name)
    if writer is None:
        return None
    if writer.operator in ("Cast", "CastLike"):
        through = Match(match.entry, {**match.drafts, writer.position: writer})
        return _operand(graph, writer.operands[0], pattern, through)
    return _draft(graph, writer, pattern, match)
