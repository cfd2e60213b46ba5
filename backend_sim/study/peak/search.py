"""Searching the largest load that passes, where passing may not be monotone in the load.

The search doubles from half of the bound until a trial fails, then bisects; where no load down to a
thousandth of the bound passes, it looks above half. Afterwards it probes a little above and below the bracket
and amid the widest gaps between failures: a pass above or a failure below shows that meeting the deadlines is
not monotone in the load, which is reported; a pass above also moves the search up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from layerweaver.backend_sim.results.schema.peak import TrialPoint

__all__ = ["LOWEST", "Search", "Trial", "search_peak"]

LOWEST = 1 / 1024
_FINER = 0.1
"""Of low peaks, which the resolution is too coarse for, the bracket is as narrow a part."""
_ABOVE = (0.75, 0.875, 0.625, 0.8125, 0.9375, 0.6875)
"""Where to look once no lower load passes: batches that wait for company may fill in time only then."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a search.

    Attributes:
        share: Load as a share of the bound.
        passed: Whether every tenant met its percentile.
    """

    share: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Search:
    """Outcome of one search, loads as shares of the bound.

    Attributes:
        low: The largest load that passed; 0 if none did.
        high: The least load above it that failed, or the ceiling if none did.
        trials: All trials, in order.
        monotone: Whether no failure was seen below a pass.
        points: What the trials measured, if whoever ran them kept it.
        interrupted: Whether it was stopped before it had ended.
    """

    low: float
    high: float
    trials: tuple[Trial, ...]
    monotone: bool
    points: tuple[TrialPoint, ...] = ()
    interrupted: bool = False


def search_peak(
    passes: Callable[[float], bool], resolution: float, ceiling: float = 64.0, lowest: float = LOWEST
) -> Search:
    """Find the largest load that passes. Ctrl-C during a trial ends the search with what it knows.

    Args:
        passes: Whether a load, as a share of the bound, passes.
        resolution: Width of the final bracket, which is narrower at low loads.
        ceiling: No load above is tried; a power of two.
        lowest: Halving ends at the first load that is as low.
    """
    trials: list[Trial] = []

    def attempt(share: float) -> bool:
        passed = passes(share)
        trials.append(Trial(share, passed))
        return passed

    try:
        low, high = _bracket(attempt, resolution, ceiling, lowest, trials)
        interrupted = False
    except KeyboardInterrupt:
        low = max((trial.share for trial in trials if trial.passed), default=0.0)
        high = min(
            (trial.share for trial in trials if not trial.passed and trial.share > low), default=math.inf
        )
        interrupted = True
    worst_failure = min((trial.share for trial in trials if not trial.passed), default=math.inf)
    high = min(high, ceiling) if low else high
    return Search(low, high, tuple(trials), monotone=worst_failure > low, interrupted=interrupted)


def _bracket(
    attempt: Callable[[float], bool],
    resolution: float,
    ceiling: float,
    lowest: float,
    trials: Sequence[Trial],
) -> tuple[float, float]:
    """The final bracket; ``attempt`` adds to ``trials``."""
    low, high = 0.0, math.inf
    probe = 0.5
    while True:
        if attempt(probe):
            low = probe
            if math.isfinite(high) or probe >= ceiling:
                break
            probe *= 2
        else:
            high = probe
            if low > 0 or probe <= lowest:
                break
            probe /= 2
    while True:
        while math.isfinite(high) and low > 0 and high - low > min(resolution, _FINER * high):
            middle = (low + high) / 2
            low, high = (middle, high) if attempt(middle) else (low, middle)
        if not math.isfinite(high):
            break
        probes = _probes_above(high, resolution, trials) if low > 0 else _ABOVE
        passed = next((probe for probe in probes if probe < ceiling and attempt(probe)), None)
        if passed is None:
            break
        low = passed
        high = min(
            (trial.share for trial in trials if not trial.passed and trial.share > low), default=math.inf
        )
        while not math.isfinite(high):
            if 1.1 * low >= ceiling:
                high = ceiling
            elif attempt(1.1 * low):
                low *= 1.1
            else:
                high = 1.1 * low
    if low > 0:
        attempt(0.9 * low)
    return low, high


def _probes_above(high: float, resolution: float, trials: Sequence[Trial]) -> list[float]:
    """Loads above the bracket worth a look: just above it, and amid the widest gaps between failures."""
    failed = sorted(trial.share for trial in trials if not trial.passed and trial.share >= high)
    gaps = sorted(pairwise(failed), key=lambda gap: gap[0] - gap[1])[:2]
    probes = [high + max(0.04 * high, 2 * resolution), *(sum(gap) / 2 for gap in gaps)]
    tried = {trial.share for trial in trials}
    return [probe for probe in probes if probe not in tried]
