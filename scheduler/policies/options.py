"""Options of a policy: what they may be, how a scenario states them, and as what ``choose`` gets them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Literal, get_args, get_origin, get_type_hints

from layerweaver.ir import PolicyError
from layerweaver.scheduler.machine.view import NEVER

__all__ = ["Option", "as_stated", "options_of", "within"]

_MOST = 1e18
"""Numbers of options are smaller."""

_MOST_EXACT = 2**53
"""Whole numbers of options are smaller."""

_NS_PER_UNIT = {"_ns": 1.0, "_us": 1e3, "_ms": 1e6}

_WORDS_FOR: dict[type | None, str] = {
    bool: "true or false",
    int: "a whole number below 2^53",
    float: "a number",
}

_KINDS = "an int, float, bool, IntEnum or Literal of strings, with a default"


def within(least: float, default: float, most: float = _MOST) -> Any:
    """An option that must be a number from ``least`` to ``most``; times (``x_us``) are 0 or more anyway."""
    return field(default=default, metadata={"range": (least, most)})


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: Its name.
        kind: int, float or bool, or None if it is stated by a word.
        words: The words that state it, and what each stands for.
        default: Its value if none is stated.
        least: Least number.
        most: Largest number.
    """

    name: str
    kind: type | None
    words: dict[str, Any]
    default: Any
    least: float = -_MOST
    most: float = _MOST

    @property
    def type_text(self) -> str:
        """What it takes, in a word."""
        return "|".join(self.words) if self.kind is None else self.kind.__name__

    def checked(self, where: str, value: object) -> Any:
        """A stated value as the policy has it.

        Raises:
            PolicyError: If it has a wrong type or is out of range.
        """
        found = self._read(value)
        if found is None:
            raise PolicyError(
                f"{str(value)[:40]!r} is not accepted",
                where=where,
                accepted=f"give {_WORDS_FOR.get(self.kind, self.type_text)}",
            )
        if self.kind is not None and not self.least <= found <= self.most:
            upto = "or more" if self.most >= _MOST else f"to {self.most:g}"
            raise PolicyError(f"{value} is out of range", where=where, accepted=f"give {self.least:g} {upto}")
        return found

    def _read(self, value: object) -> Any:
        if self.kind is None:
            if isinstance(value, IntEnum):
                return value if value in self.words.values() else None
            return self.words.get(value) if isinstance(value, str) else None
        if self.kind is bool or isinstance(value, bool):
            return value if self.kind is bool and isinstance(value, bool) else None
        if self.kind is int:
            return value if isinstance(value, int) and abs(value) < _MOST_EXACT else None
        return float(value) if isinstance(value, (int, float)) and abs(value) < _MOST else None

    def given(self, value: Any, clock_hz: int) -> Iterator[tuple[str, float | int]]:
        """The fields that ``choose`` gets, and their numbers: a word's number, and times also in cycles."""
        if self.kind is None:
            yield self.name, int(value) if isinstance(value, IntEnum) else list(self.words).index(value)
            return
        yield self.name, value
        unit = self.name[-3:]
        if unit in _NS_PER_UNIT:
            cycles = -(-value * _NS_PER_UNIT[unit] * clock_hz // 1e9)
            yield f"{self.name[:-3]}_cycles", int(max(-NEVER, min(NEVER, cycles)))


def options_of(declared: type, where: str) -> dict[str, Option]:
    """The options that a policy declares, by their names.

    Raises:
        PolicyError: If they are no dataclass of what options may be, with defaults that fit.
    """
    if not dataclasses.is_dataclass(declared):
        raise PolicyError("options are no dataclass", where=where, accepted="@dataclass(frozen=True)")
    try:
        hints = get_type_hints(declared)
    except (NameError, TypeError) as error:
        raise PolicyError(f"options: {error}", where=where, accepted=_KINDS) from error
    found: dict[str, Option] = {}
    for item in dataclasses.fields(declared):
        at = f"{where}, option {item.name}"
        if item.name in ("commit", "hides"):
            raise PolicyError(
                f"an option cannot be called {item.name!r}", where=where, accepted="take another name"
            )
        kind = hints[item.name]
        words = _words_of(kind)
        if item.default is dataclasses.MISSING or not (words or kind in (int, float, bool)):
            text = getattr(kind, "__name__", str(kind))[:40]
            lacks = " without a default" if item.default is dataclasses.MISSING else ""
            raise PolicyError(f"is declared as {text}{lacks}", where=at, accepted=_KINDS)
        is_time = item.name[-3:] in _NS_PER_UNIT
        least, most = item.metadata.get("range", (0 if is_time else -_MOST, _MOST))
        option = Option(item.name, None if words else kind, words, item.default, least, most)
        found[item.name] = replace(option, default=option.checked(f"{at}, its default", item.default))
    return found


def _words_of(kind: Any) -> dict[str, Any]:
    """The words that state an option, and what each stands for; none where it is a number."""
    if get_origin(kind) is Literal and all(isinstance(word, str) for word in get_args(kind)):
        return {word: word for word in get_args(kind)}
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        words = {as_stated(member): member for member in kind if abs(member) < _MOST_EXACT}
        return words if len(words) == len(kind) else {}
    return {}


def as_stated(value: Any) -> Any:
    """A value as a scenario states it."""
    return value.name.lower().replace("_", "-") if isinstance(value, IntEnum) else value
