"""Times in nanoseconds and in cycles: every conversion, with its rounding in its name.

The functions are plain integer arithmetic, exact for Python integers, and compile under numba as they stand:
none overflows 64 bits for clocks below 9 GHz and times below 115 days.
"""

from __future__ import annotations

__all__ = [
    "cycles_to_ns_down",
    "cycles_to_ns_up",
    "ns_to_cycles_down",
    "ns_to_cycles_up",
    "seconds_to_ns_nearest",
]

GIGA = 1_000_000_000


def seconds_to_ns_nearest(seconds: float) -> int:
    """Seconds as whole nanoseconds, rounded to the nearest."""
    return round(seconds * 1e9)


def ns_to_cycles_up(time_ns: int, clock_hz: int) -> int:
    """``ceil(ns * clock / 10^9)``: the first cycle that begins at or after a time."""
    seconds = time_ns // GIGA
    return seconds * clock_hz + ((time_ns - seconds * GIGA) * clock_hz + (GIGA - 1)) // GIGA


def ns_to_cycles_down(time_ns: int, clock_hz: int) -> int:
    """``floor(ns * clock / 10^9)``: the last cycle whose end is not after a time."""
    seconds = time_ns // GIGA
    return seconds * clock_hz + (time_ns - seconds * GIGA) * clock_hz // GIGA


def cycles_to_ns_up(cycles: int, clock_hz: int) -> int:
    """``ceil(cycles * 10^9 / clock)``: a completion is never said to be earlier than it was."""
    seconds = cycles // clock_hz
    return seconds * GIGA + ((cycles - seconds * clock_hz) * GIGA + (clock_hz - 1)) // clock_hz


def cycles_to_ns_down(cycles: int, clock_hz: int) -> int:
    """``floor(cycles * 10^9 / clock)``: monotone, so what does not overlap in cycles does not in ns."""
    seconds = cycles // clock_hz
    return seconds * GIGA + (cycles - seconds * clock_hz) * GIGA // clock_hz
