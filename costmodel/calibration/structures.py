"""Structures of the config that networks decide which a fit did not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.calibration.choices import Choice, Problem, choose
from layerweaver.costmodel.calibration.fit import Fit
from layerweaver.costmodel.calibration.hosts import host_proposal
from layerweaver.costmodel.calibration.parameters import with_values
from layerweaver.costmodel.calibration.validation import Inform, cross_validate

__all__ = ["Structure", "Tell", "best_structure"]

FloatArray = NDArray[np.float64]
Tell = Callable[[float, str], None]
UNEXPLAINED = 0.2
"""Held-out error above which operators are looked for that run on the host."""
CLEAR_GAIN = 0.9
"""Share of the held-out error that may be left for an operator to be taken for one of the host's, and for
transfers to be taken to run ahead."""
MOST_HOSTED = 3
FEWEST_TO_SEARCH = 10
"""Networks below which operators of the host are not looked for: six of them find what is not there."""
FEWEST_AHEAD = 8
"""Networks below which they are not asked whether transfers run ahead, likewise."""


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A structure of the config that was fitted and cross-validated.

    Attributes:
        changes: Fields in which it differs from the file.
        problem: What was fitted.
        choice: Further choices and free parameters.
        found: The fit on everything.
        held_out: Predictions of networks by fits that did not see them, in milliseconds per image.
        baselines: Those of the baselines, by name.
    """

    changes: Mapping[str, Any]
    problem: Problem
    choice: Choice
    found: Fit
    held_out: FloatArray
    baselines: Mapping[str, FloatArray]

    @property
    def error(self) -> float:
        """Mean absolute error of held-out predictions, as a fraction: what is reported decides."""
        return float(np.mean(np.abs(self.held_out / self.problem.target.ms - 1)))


def best_structure(
    problem: Problem, names: Sequence[str], shipped_ms: FloatArray, inform: Inform, say: Tell
) -> Structure:
    """The structure that predicts networks best that its fit did not see.

    Fits with and without free clips are as good on what they see (ten parameters explain fifteen networks
    either way) and differ by half on what they do not, so the choice is left to cross-validation. Where
    neither explains the chip, operators are tried on the host, the most telling first, for as long as
    networks that the fit did not see clearly gain by it. Whether layers wait for their own transfers or
    transfers run ahead is asked of the better of these, where the config does not say.
    """

    def tried(one: Problem, changes: Mapping[str, Any], begin: float) -> Structure:
        say(begin, "fitting")
        informed = inform(one, ())
        choice, found = choose(informed, one.target)
        held_out, baselines = cross_validate(
            informed,
            names,
            (choice, found),
            shipped_ms,
            inform=inform,
            tell=lambda share: say(begin + share / 5, "cross-validating"),
        )
        return Structure(changes, informed, choice, found, held_out, baselines)

    start: dict[str, Any] = {}
    if problem.asked is None and problem.config.shared_overheads is None:
        start = {"shared_overheads": True}
        problem = replace(problem, config=with_values(problem.config, {}, start))
    found = [tried(problem, start, 0.0)]
    if problem.asked is None and problem.config.vector.free_clips is None:
        changes = {**start, "vector.free_clips": True}
        one = replace(problem, config=with_values(problem.config, {}, changes))
        found.append(tried(one, changes, 0.2))
    searches = problem.asked is None and problem.config.host is None and len(set(names)) >= FEWEST_TO_SEARCH
    if searches and all(one.error > UNEXPLAINED for one in found):
        found = [_with_host(one, tried) for one in found]
    best = min(found, key=lambda one: one.error)
    asks = problem.asked is None and problem.config.overlap is None
    if asks and len(set(names)) >= FEWEST_AHEAD:
        ahead = tried(replace(best.problem, ahead=True), {**best.changes, "overlap": None}, 0.8)
        best = ahead if ahead.error < CLEAR_GAIN * best.error else best
    return best


def _with_host(best: Structure, tried: Callable[[Problem, Mapping[str, Any], float], Structure]) -> Structure:
    """A structure with as many operators on the host as networks clearly gain by that no fit saw."""
    for _ in range(MOST_HOSTED):
        proposed = host_proposal(best.problem) if best.error > UNEXPLAINED else None
        if proposed is None or proposed.config.host is None:
            break
        changes = {**best.changes, "host.operators": list(proposed.config.host.operators)}
        found = tried(proposed, changes, 0.4)
        if found.error > CLEAR_GAIN * best.error:
            break
        best = found
    return best
