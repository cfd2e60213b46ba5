"""Times as traces write them: numbers of any unit since 1970 or any origin, and dates with times of day."""

from __future__ import annotations

import logging
import re
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path

__all__ = ["BadValueError", "TraceClock", "number_ns", "whole_ns"]

LOGGER = logging.getLogger("layerweaver")

_MAX_NS = 4 * 10**18
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,18}))?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_WHOLE = re.compile(r"\s*-?\d{1,19}\s*", re.ASCII)
_UNITS = (
    (10**11, "seconds", 10**9),
    (10**14, "milliseconds", 10**6),
    (10**17, "microseconds", 10**3),
    (_MAX_NS, "nanoseconds", 1),
)
"""Below which a count of what is a time since 1970, or since any origin, and how many ns each is."""
_LEAST_EPOCH_S = 10**8
_MAX_ZONE_HOURS = 14


class BadValueError(Exception):
    """A value of a row that is none.

    Attributes:
        column: Where it stands.
        what: What is wrong.
        accepted: What would be accepted.
    """

    def __init__(self, column: str, what: str, accepted: str) -> None:
        super().__init__(what)
        self.column, self.what, self.accepted = column, what, accepted


def _no_time(text: str, column: str) -> BadValueError:
    return BadValueError(column, f"{text.strip()[:40]!r} is not a time", "such as 2023-11-16 18:15:46+01:00")


def _decimal(text: str) -> Decimal | None:
    """A finite number; None if it is none."""
    try:
        value = Decimal(text.strip())
    except (InvalidOperation, ValueError):
        return None
    return value if value.is_finite() else None


def number_ns(text: str, column: str, unit_ns: int) -> int:
    """A number of units of ``unit_ns`` each, in ns.

    Raises:
        BadValueError: If it is no number, or beyond 126 years.
    """
    value = _decimal(text)
    if value is None:
        raise BadValueError(column, f"{text.strip()[:40]!r} is not a number", "give a number")
    if not -_MAX_NS < value < _MAX_NS or not -_MAX_NS < value * unit_ns < _MAX_NS:
        raise BadValueError(column, f"{text.strip()[:40]!r} is too large for a time", "give a number")
    return int(value * unit_ns)


def whole_ns(text: str, column: str) -> int:
    """A whole number of ns.

    Raises:
        BadValueError: If it is none.
    """
    if not _WHOLE.fullmatch(text) or not -_MAX_NS < int(text) < _MAX_NS:
        raise BadValueError(column, f"{text[:40]!r} is not a time in ns", "give a whole number")
    return int(text)


@lru_cache(maxsize=64)
def _day_ns(text: str) -> int:
    return (date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()) * 86_400 * 10**9


def _zone_ns(zone: str | None) -> int | None:
    """Offset of a time zone; None if there is no such zone."""
    if zone is None or zone.upper() in {"Z", "UTC"}:
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > _MAX_ZONE_HOURS or minutes > 59:
        return None
    return (hours * 60 + minutes) * 60 * 10**9 * (1 if zone[0] == "+" else -1)


@lru_cache(maxsize=64)
def _say(path: Path, column: str, unit: str) -> None:
    """Once per file, however often it is read."""
    LOGGER.info("%s: the numbers in column %r are taken as %s", path, column, unit)


class TraceClock:
    """Reads the times of one file.

    Plain numbers are seconds, milliseconds, microseconds or nanoseconds: the size of the first says which.
    That is told where it may be a surprise.

    Args:
        path: The file.
        foreign: Whether nobody but the user knows what its columns mean.
    """

    def __init__(self, path: Path, *, foreign: bool = False) -> None:
        self._path, self._foreign = path, foreign
        self._unit_ns = 0

    def moment_ns(self, text: str, column: str) -> int:
        """A number, or a date and time (UTC unless it says otherwise), in ns.

        Raises:
            BadValueError: If it is neither.
        """
        match = _MOMENT.fullmatch(text.strip())
        if match is None:
            if (value := _decimal(text)) is None:
                raise _no_time(text, column)
            return number_ns(text, column, self._unit_ns or self._choose(value, column))
        day, hour, minute, second, fraction, zone = match.groups()
        try:
            result = _day_ns(day)
        except ValueError:
            raise BadValueError(
                column, f"{text[:40]!r} is not a date", "such as 2023-11-16 18:15:46"
            ) from None
        offset = _zone_ns(zone)
        if int(hour) > 23 or int(minute) > 59 or int(second) > 59 or offset is None:
            raise _no_time(text, column)
        result += (int(hour) * 3600 + int(minute) * 60 + int(second)) * 10**9
        return result + int((fraction or "0")[:9].ljust(9, "0")) - offset

    def _choose(self, value: Decimal, column: str) -> int:
        size = abs(value)
        unit, self._unit_ns = next(
            ((name, ns) for most, name, ns in _UNITS if size < most), ("seconds", 10**9)
        )
        if size >= _LEAST_EPOCH_S:
            _say(self._path, column, f"{unit} since 1970")
        elif self._foreign:
            _say(self._path, column, f"{unit}; say columns: {{unit: ...}} if they are not")
        return self._unit_ns
