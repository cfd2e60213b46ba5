"""Whether a policy is declared as policies are: what would be ignored or fail later is told as it is read."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, get_args

from layerweaver.ir import PolicyError
from layerweaver.scheduler.policies.contract import Commitment, PolicySpec

__all__ = ["check_declaration"]

_NAME = r"[\w.+-]+"
_SWITCHES = ("overlap", "holds_itself", "spares_tightest", "heeds_backlog", "checkpoints", "by_group")


def check_declaration(spec: PolicySpec, where: str) -> None:
    """Refuse a field of another kind than :class:`PolicySpec` says.

    Raises:
        PolicyError: With the field, and what it takes.
    """
    for of, given, accepted in _faults(spec):
        raise PolicyError(f"{of} is {repr(given)[:60]}", where=where, accepted=accepted)
    for kind in (spec.memory, spec.common):
        _check_memory(kind, where)


def _faults(spec: PolicySpec) -> Iterator[tuple[str, object, str]]:
    name: Any = spec.name
    if not isinstance(name, str) or re.fullmatch(_NAME, name) is None:
        yield "name", name, "letters, digits and - + . _"
    for field in ("summary", "source"):
        if not isinstance(getattr(spec, field), str):
            yield field, getattr(spec, field), "a text"
    for field in _SWITCHES:
        if not isinstance(getattr(spec, field), bool):
            yield field, getattr(spec, field), "True or False"
    if spec.commit not in get_args(Commitment):
        yield "commit", spec.commit, " or ".join(map(repr, get_args(Commitment)))
    modes: Any = spec.modes
    named = isinstance(modes, (tuple, list)) and all(isinstance(mode, str) for mode in modes)
    if not named or not modes or len(set(modes)) < len(modes):
        yield "modes", modes, "one text or more, each once"
    lone: Any = spec.lone_mode
    if lone is not None and not (isinstance(lone, int) and 0 <= lone < len(modes)):
        yield "lone_mode", lone, f"None, or the number of a mode, 0 to {len(modes) - 1}"
    for field in ("drops_hopeless", "defers_hopeless"):
        if not _takes_one(getattr(spec, field)):
            yield field, getattr(spec, field), "a function of the options, such as lambda options: True"
    if spec.prepare is not None and not callable(spec.prepare):
        yield "prepare", spec.prepare, "a function of the tenants' profiles, or None"
    for field in ("memory", "common"):
        if not isinstance(getattr(spec, field), type):
            yield field, getattr(spec, field), "a class with fields that are annotated int or float"


def _takes_one(function: object) -> bool:
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def _check_memory(kind: type, where: str) -> None:
    """Refuse what memory would start with: all of it starts at zero."""
    for base in kind.__mro__:
        for name in inspect.get_annotations(base):
            if (value := base.__dict__.get(name, 0)) != 0 and not _is_slot(value):
                raise PolicyError(
                    f"{kind.__name__}.{name} = {repr(value)[:40]}: what is remembered starts at zero",
                    where=where,
                    accepted="leave the value out, and count from it in choose",
                )


def _is_slot(value: object) -> bool:
    """Whether it is what ``__slots__`` puts into a class."""
    return inspect.ismemberdescriptor(value)
