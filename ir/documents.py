"""Values as scenario files write them: strict numbers and quantities with units."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from layerweaver.ir.clock import seconds_to_ns_nearest
from layerweaver.ir.errors import LayerweaverError
from layerweaver.ir.given import whole_number
from layerweaver.ir.limits import MAX_COUNT, MAX_RATE_QPS, MAX_SECONDS, MIN_RATE_QPS
from layerweaver.ir.sections import refusal
from layerweaver.ir.units import parse_quantity

__all__ = [
    "SEEDS",
    "Count",
    "LongestRow",
    "Milliseconds",
    "Number",
    "PositiveCount",
    "PositiveMilliseconds",
    "PositiveSeconds",
    "Rate",
    "Seconds",
    "Seed",
    "given_seed",
    "is_seed",
    "whole",
]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise refusal(f"{str(value)[:40]!r} is not a number")
    return float(value)


def _time(unit: str, *, positive: bool) -> Callable[[object], float]:
    per_second = {"s": 1.0, "ms": 1e3, "us": 1e6}[unit]

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise refusal(f"{str(value)[:40]!r} is not a time; give a number in {unit}")
        try:
            result = parse_quantity(value, "time", unit)
        except (ValueError, OverflowError) as error:
            raise refusal(str(error)) from None
        if result < 0 or (positive and result <= 0):
            raise refusal(
                f"{result:g} {unit} is not accepted; give a time {'above 0' if positive else 'of 0 or more'}"
            )
        if result / per_second > MAX_SECONDS:
            raise refusal(f"{result:g} {unit} is too long; give at most {MAX_SECONDS:g} s")
        if positive and seconds_to_ns_nearest(result / per_second) < 1:
            raise refusal(f"{result:g} {unit} is below a nanosecond")
        return result

    return read


def _rate(value: object) -> float:
    qps = _number(value)
    if qps < 0:
        raise refusal(f"{qps:g} queries per second is negative")
    if qps > MAX_RATE_QPS:
        raise refusal(f"{qps:g} queries per second is impossible; the largest rate is {MAX_RATE_QPS:g}")
    if 0 < qps < MIN_RATE_QPS:
        raise refusal(f"{qps:g} queries per second are none; give 0, or at least {MIN_RATE_QPS:g}")
    return qps


def whole(least: int, most: int = MAX_COUNT) -> BeforeValidator:
    """Whole numbers from ``least`` to ``most``."""

    def read(value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise refusal(
                f"{str(value)[:40]!r} is not accepted; give a whole number from {least} to {most:,}"
            )
        return value

    return BeforeValidator(read)


SEEDS = "give a whole number from 0 to 2^64 - 1"
"""What a seed may be, in words."""


def is_seed(value: object) -> bool:
    """Whether random numbers may be drawn by it."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64


def given_seed(value: object, error: type[LayerweaverError]) -> int | None:
    """A seed that a function is given, of NumPy too, as an int; None is none.

    Raises:
        LayerweaverError: Of class ``error``.
    """
    if value is None:
        return None
    number = whole_number(value)
    if number is None or not is_seed(number):
        raise error(f"{str(value)[:40]!r} is not a seed", accepted=SEEDS)
    return number


def _seed(value: Any) -> int:
    if not is_seed(value):
        raise refusal(f"{str(value)[:40]!r} is not a seed; {SEEDS}")
    return int(value)


def _longest_row(value: object) -> float | str:
    if value == "auto":
        return "auto"
    return _time("us", positive=True)(value)


Number = Annotated[float, BeforeValidator(_number)]
Seconds = Annotated[float, BeforeValidator(_time("s", positive=False))]
PositiveSeconds = Annotated[float, BeforeValidator(_time("s", positive=True))]
Milliseconds = Annotated[float, BeforeValidator(_time("ms", positive=False))]
LongestRow = Annotated[float | Literal["auto"], BeforeValidator(_longest_row)]
PositiveMilliseconds = Annotated[float, BeforeValidator(_time("ms", positive=True))]
Rate = Annotated[float, BeforeValidator(_rate)]
Count = Annotated[int, whole(0)]
PositiveCount = Annotated[int, whole(1)]
Seed = Annotated[int, BeforeValidator(_seed)]
