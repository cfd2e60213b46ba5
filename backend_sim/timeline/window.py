"""Windows of simulated time, written as text."""

from __future__ import annotations

import re
from dataclasses import fields
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.outcome import ScheduleLog
from layerweaver.ir import ScenarioError

__all__ = ["DEFAULT_TRACE_WINDOW", "clip_log", "parse_window", "take_rows"]


def clip_log(log: ScheduleLog, window_cycles: tuple[int, int]) -> ScheduleLog:
    """The rows whose fetch or compute overlaps ``[start, end)``, or begins in it and takes no time."""
    start, end = window_cycles
    kept = np.flatnonzero((log.fetch_start < end) & ((log.compute_end > start) | (log.fetch_start >= start)))
    return take_rows(log, kept)


def take_rows(log: ScheduleLog, index: NDArray[np.intp]) -> ScheduleLog:
    """The log's entries at ``index``, in that order."""
    columns: dict[str, NDArray[np.int64]] = {
        field.name: getattr(log, field.name)[index] for field in fields(log) if field.name != "mode_names"
    }
    return ScheduleLog(mode_names=log.mode_names, **columns)


DEFAULT_TRACE_WINDOW = "0ms:50ms"
"""What a trace keeps when nothing is said: enough to read, small enough to open."""

_ACCEPTED = "give START:END such as 10ms:20ms; units are s, ms, us, ns and cycles"
_BOUND = re.compile(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*(s|ms|us|ns|cycles?)?\s*")
_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_LIMIT_CYCLES = 2**62


def _bound_cycles(text: str, window: str, clock_hz: int) -> Fraction:
    match = _BOUND.fullmatch(text)
    if match is None:
        raise ScenarioError(f"trace window {window[:60]!r} is not understood", accepted=_ACCEPTED)
    number, unit = Fraction(match.group(1)), match.group(2)
    if unit is None and number != 0:
        raise ScenarioError(f"trace window {window[:60]!r} has a bound without a unit", accepted=_ACCEPTED)
    if unit in _NS:
        number = number * _NS[unit] * clock_hz / 10**9
    if number > _LIMIT_CYCLES:
        raise ScenarioError(f"trace window {window[:60]!r} reaches beyond 2^62 cycles", accepted=_ACCEPTED)
    return number


def parse_window(text: str, clock_hz: int) -> tuple[int, int]:
    """Read ``START:END`` as NPU cycles; an empty START is 0.

    Args:
        text: For example ``"10ms:20ms"``, ``":500us"`` or ``"1000cycles:2000cycles"``.
        clock_hz: Cycles per second of the NPU.

    Returns:
        First cycle (rounded down) and end (exclusive, rounded up).

    Raises:
        ScenarioError: If the text is not a window, a unit is missing, or nothing lies between the bounds.
    """
    parts = text.split(":")
    if len(parts) != 2 or not parts[1].strip():
        raise ScenarioError(f"trace window {text[:60]!r} is not understood", accepted=_ACCEPTED)
    start = _bound_cycles(parts[0] if parts[0].strip() else "0", text, clock_hz)
    end = _bound_cycles(parts[1], text, clock_hz)
    if end <= start:
        raise ScenarioError(f"trace window {text[:60]!r} is empty: its end is not after its start")
    return int(start), -int(-end // 1)
