"""What one run gained or lost beside another, and whether repetitions with other seeds tell so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from layerweaver.backend_sim.results.confidence import spread
from layerweaver.backend_sim.results.limits import judged_tails
from layerweaver.backend_sim.results.repetitions import averaged, each_seed
from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.schema.tenant import Tenant
from layerweaver.ir.text import figure

__all__ = ["gains", "percent", "tails_tell", "untold_tails", "violations"]

_VISIBLE = 0.02
_MORE_LATE = 0.01
"""A tenant of whose requests a further such share is late is named for that."""


class _Gain(NamedTuple):
    """What changed, in words, and the figure of a run that says so."""

    text: str
    figure: Callable[[Run], float | None]


def percent(share: float) -> str:
    """A share as sentences give it."""
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:.0f}%"


def violations(run: Run) -> float | None:
    """The share of all requests that were late, of tenants that have a deadline; None without one."""
    rates = [
        (tenant["violation_rate"], tenant["arrived"])
        for tenant in run["tenants"]
        if tenant["violation_rate"] is not None
    ]
    arrived = sum(count for _, count in rates)
    return sum(rate * count for rate, count in rates) / arrived if arrived else None


def tails_tell(one: Tenant, two: Tenant) -> bool:
    """Whether percentiles say what changed: they are of completed requests, so of few dropped ones only."""
    return all(run.get("dropped", 0) <= _MORE_LATE * run["arrived"] for run in (one, two))


def _tails(base: Run, other: Run) -> list[tuple[str, float, float]]:
    """The 99th percentiles from the greatest gain to the greatest loss: of what, before and after in ms.

    They are of completed requests: tenants of whose requests many are dropped in one of the runs have none.
    """
    pairs = [
        (what, before, after)
        for one, two in zip(base["tenants"], other["tenants"], strict=True)
        if tails_tell(one, two)
        for (what, before), (_, after) in zip(judged_tails(one), judged_tails(two), strict=False)
        if before and after
    ]
    return sorted(pairs, key=lambda pair: pair[2] / pair[1])


def _worse(base: Run, other: Run) -> tuple[str, float, float] | None:
    """The tenant of whose requests visibly more are late than before: name, shares before and after."""
    rises = [
        (
            two["violation_rate"] - one["violation_rate"],
            one["name"],
            one["violation_rate"],
            two["violation_rate"],
        )
        for one, two in zip(base["tenants"], other["tenants"], strict=True)
        if one["violation_rate"] is not None and two["violation_rate"] is not None
    ]
    most = max(rises, default=(0.0, "", 0.0, 0.0))
    return most[1:] if len(rises) > 1 and most[0] > _MORE_LATE else None


def gains(base: Run, other: Run) -> tuple[list[str], list[str]]:
    """What a run changed against another: what is sure, and what the seeds do not tell.

    A figure is sure if the 95% interval of its differences, seed by seed, leaves 0 out; of runs without
    repetitions every figure is.
    """
    before, after = each_seed(base), each_seed(other)
    sure, unsure = list[str](), list[str]()
    for gain in _gains(averaged(base), averaged(other)):
        told = _is_told(list(map(gain.figure, before)), list(map(gain.figure, after)))
        (sure if told else unsure).append(gain.text)
    return sure, unsure


def untold_tails(base: Run, other: Run) -> set[str]:
    """The judged 99th percentiles, by name, of which the seeds of two runs do not tell that they differ."""
    before, after = ([_tails_of(run) for run in each_seed(side)] for side in (base, other))
    names = {name for tails in (*before, *after) for name in tails}
    return {
        name
        for name in names
        if not _is_told([tails.get(name) for tails in before], [tails.get(name) for tails in after])
    }


def _is_told(before: Sequence[float | None], after: Sequence[float | None]) -> bool:
    """Whether a figure differs for sure, given that of every seed; without repetitions it does."""
    apart = [
        two - one for one, two in zip(before, after, strict=False) if one is not None and two is not None
    ]
    found = spread([value for value in apart if not math.isnan(value)], least=-math.inf)
    return found is None or not found["low"] <= 0.0 <= found["high"]


def _gains(base: Run, other: Run) -> Iterator[_Gain]:
    before, after = violations(base), violations(other)
    if before is not None and after is not None and percent(before) != percent(after):
        verb = "cut" if after < before else "raised"
        text = f"{verb} missed deadlines from {percent(before)} to {percent(after)} of all requests"
        yield _Gain(text, violations)
    tails = _tails(base, other)
    if tails and tails[0][1] / tails[0][2] > 1 + _VISIBLE:
        yield _changed("cut", *tails[0])
    worse = _worse(base, other)
    if worse is not None:
        name, before, after = worse
        text = f"raised missed deadlines of {name} from {percent(before)} to {percent(after)}"
        yield _Gain(text, lambda run: _tenant(run, name)["violation_rate"])
    elif tails and tails[-1][2] / tails[-1][1] > 1 + _VISIBLE:
        yield _changed("raised", *tails[-1])
    before, after = _stp(base), _stp(other)
    stp = after / before - 1 if before and after else 0.0
    if stp > _VISIBLE:
        yield _Gain(f"raised system throughput by {percent(stp)}", _stp)


def _changed(verb: str, what: str, before_ms: float, after_ms: float) -> _Gain:
    text = f"{verb} the 99th percentile of {what} from {figure(before_ms)} to {figure(after_ms)} ms"
    return _Gain(text, lambda run: _tails_of(run).get(what))


def _tails_of(run: Run) -> dict[str, float | None]:
    """The judged 99th percentiles of all tenants in ms, by name."""
    return dict(tail for tenant in run["tenants"] for tail in judged_tails(tenant))


def _stp(run: Run) -> float | None:
    return run["system"].get("stp")


def _tenant(run: Run, name: str) -> Tenant:
    return next(tenant for tenant in run["tenants"] if tenant["name"] == name)
