"""Quantities written as numbers or as text with a unit."""

from __future__ import annotations

import math
import re
from fractions import Fraction

__all__ = ["ENERGY_COUNTS", "QUANTITIES", "ceil_div", "parse_quantity"]

ENERGY_COUNTS = (
    "MACs, vector operations, DRAM bytes in whole bursts and, once a layer, on-chip bytes, each times the "
    "config's constant; "
    "not counted: leakage, control, and what the array fetches twice"
)
"""What an energy counts, wherever one stands."""

_NUMBER = r"[+-]?(?:\d+(?:_\d+)*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_TEXT = re.compile(rf"\s*({_NUMBER})\s*(.*?)\s*")

# Dimension -> unit (lower case) -> how many base units (Hz, bytes, bytes/s, seconds, joules) it is.
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BYTES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
QUANTITIES: dict[str, dict[str, Fraction]] = {
    "frequency": {
        unit: Fraction(10**power) for unit, power in (("hz", 0), ("khz", 3), ("mhz", 6), ("ghz", 9))
    },
    "bytes": {unit: Fraction(size) for unit, size in _BYTES.items()},
    "bandwidth": {f"{unit}{per}": Fraction(size) for unit, size in _BYTES.items() for per in ("/s", "ps")},
    "time": {"s": Fraction(1), "ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9)},
    "energy": {
        "j": Fraction(1),
        "mj": Fraction(1, 10**3),
        "uj": Fraction(1, 10**6),
        "nj": Fraction(1, 10**9),
        "pj": Fraction(1, 10**12),
    },
}
_SPELLING = {
    unit.lower(): unit
    for unit in (
        *("Hz", "kHz", "MHz", "GHz", "B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"),
        *("J", "mJ", "uJ", "nJ", "pJ"),
    )
}


def ceil_div(numerator: int, denominator: int) -> int:
    """Integer division rounded up, for a positive denominator."""
    return -(-numerator // denominator)


def _spelt(unit: str) -> str:
    base, slash, per = unit.partition("/")
    return _SPELLING.get(base, base) + slash + per


def _misread(unit: str, dimension: str) -> str:
    """What a unit says that would be read as another if its case did not matter; "" for nothing."""
    if dimension in ("bytes", "bandwidth") and "b" in unit:
        return "a small b is a bit"
    if dimension in ("energy", "time") and unit.startswith("M"):
        return "a capital M is 10^6"
    return ""


def parse_quantity(value: float | str, dimension: str, unit: str) -> float:
    """Read a quantity and return it in ``unit``.

    A bare number is already in ``unit``; text carries its own unit, such as ``"68 GB/s"`` or ``"700 MHz"``.
    Case does not matter where it changes nothing: ``"68 Gb/s"`` would be bits.

    Args:
        value: Number or text.
        dimension: One of :data:`QUANTITIES`.
        unit: Unit of the result, for example ``"mhz"`` or ``"gb/s"``, in lower case.

    Raises:
        ValueError: If the text is not a number with one of the dimension's units, or is not finite.
    """
    units = QUANTITIES[dimension]
    accepted = ", ".join(_spelt(name) for name in units if not name.endswith("ps"))
    wanted = _spelt(unit.lower())
    refusal = (
        f"{str(value)[:40]!r} is not understood; "
        f"give a number in {wanted} or text such as '68 {wanted}' with one of {accepted}"
    )
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(refusal)
    if isinstance(value, str):
        match = _TEXT.fullmatch(value[:100])
        if match is None:
            raise ValueError(refusal)
        number, given = match.group(1), match.group(2).lower() or unit.lower()
        misread = _misread(match.group(2), dimension)
        if given not in units or misread:
            raise ValueError(f"{refusal}; {misread}" if misread else refusal)
        try:
            result = float(Fraction(number.replace("_", "")) * units[given] / units[unit.lower()])
        except OverflowError:
            raise ValueError(refusal) from None
    else:
        result = float(value)
    if not math.isfinite(result):
        raise ValueError(refusal)
    return result
