"""What names of a policy's functions stand for: integers, records, lists of these, or known objects."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Protocol, TypeAlias

from layerweaver.backend_sim.firmware.spans import Number
from layerweaver.ir import PolicyError

__all__ = [
    "Known",
    "Layout",
    "Listed",
    "Pointed",
    "Seen",
    "Several",
    "Thing",
    "Whole",
    "place_of",
    "refusal",
]


@dataclass(frozen=True, slots=True)
class Known:
    """A Python object: a module, a function, a class, a tuple of constants."""

    value: object


@dataclass(frozen=True, slots=True)
class Pointed:
    """A record: ``text`` is what stands before the name of a field, such as ``head->``.

    Attributes:
        record: Which declaration its fields have: machine, head, fetch, own, common (memory), options.
        text: C text up to the field.
    """

    record: str
    text: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A list that takes an index; ``of`` is the record of its entries, or ``number``."""

    of: str
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The view of a decision: which lists of tenants it has."""

    ready: str
    spare: str


@dataclass(frozen=True, slots=True)
class Whole:
    """``memory`` or ``memory.tables``, of which there is one."""

    name: str


@dataclass(frozen=True, slots=True)
class Several:
    """A tuple."""

    items: tuple[Thing, ...]


Thing: TypeAlias = Number | Known | Pointed | Listed | Seen | Whole | Several


class Layout(Protocol):
    """Where the fields of records are in C, and between which bounds they lie."""

    def read(self, record: Pointed, field: str) -> Number | None:
        """The expression of a field; None if there is no such field."""
        ...

    def write(self, record: Pointed, field: str) -> tuple[str, str] | None:
        """Where a field is stored, and its C type; None if it cannot be written."""
        ...

    def is_floating(self, record: Pointed, field: str) -> bool:
        """Whether there is such a field, and it is floating point."""
        ...

    def table(self, field: str) -> tuple[Listed, Number] | None:
        """A table that the policy prepared, and what its entries are."""
        ...


def place_of(function: FunctionType, line: int) -> str:
    """File and line of something in a function."""
    return f"{Path(function.__code__.co_filename).name} line {line}"


def refusal(function: FunctionType, line: int, what: str, accepted: str) -> PolicyError:
    """What cannot be translated, and where."""
    return PolicyError(what, where=f"{place_of(function, line)}, in {function.__name__}", accepted=accepted)


def source_lines(function: FunctionType) -> tuple[str, int]:
    """A function's text and the line at which it begins.

    Raises:
        PolicyError: If its file is gone or it was made by a string.
    """
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        raise PolicyError(
            f"{function.__name__} has no source text",
            where=function.__code__.co_filename,
            accepted="write the policy as a plain function in a file",
        ) from None
    return "".join(lines), first
