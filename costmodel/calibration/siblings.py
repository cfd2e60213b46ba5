"""What a sibling chip tells: one of the same make that was measured, too, is where a fit sets out from.

A parameter's prior then lies around the sibling's fitted value, nearer than around a data sheet's. Networks
that are held out are held out of the sibling's fit as well, whatever chip they were measured on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from layerweaver.costmodel.calibration.choices import Choice, Problem
from layerweaver.costmodel.calibration.fit import Fit, fit
from layerweaver.costmodel.npu.config import NpuConfig

__all__ = ["Sibling", "uninformed"]

SPREAD = 0.4
"""Standard deviation, in logit or logarithm, of a parameter around its sibling's."""


@dataclass(frozen=True, slots=True, eq=False)
class Sibling:
    """A chip of the same make that was fitted.

    Attributes:
        problem: What was fitted.
        choice: In which variant.
        found: The fit on all of its networks.
        names: The network of each of its measurements.
    """

    problem: Problem
    choice: Choice
    found: Fit
    names: Sequence[str]

    def inform(self, problem: Problem, held_out: Collection[str]) -> Problem:
        """A problem with priors from this chip's fit.

        Args:
            problem: The problem on the other chip.
            held_out: Networks that the fit must not have seen.
        """
        found, hidden = self.found, np.array([name in held_out for name in self.names])
        if hidden.any():
            target = self.problem.target.held_out(hidden)
            found = fit(self.problem.work(self.choice), target, found.parameters, found.positions)
        scales = _scales(self.problem.config, problem.config)
        parameters = dict(problem.parameters)
        for name, value in found.values.items():
            if name in parameters:
                one = parameters[name]
                middle = value * scales.get(name, 1.0)
                parameters[name] = replace(one, middle=middle, spread=min(SPREAD, one.spread))
        return problem.with_parameters(parameters)


def uninformed(problem: Problem, _held_out: Collection[str]) -> Problem:
    """The problem as the data sheet tells it, where no sibling is known."""
    return problem


def _scales(sibling: NpuConfig, config: NpuConfig) -> dict[str, float]:
    """What turns a sibling's value into one of the other chip, where it is neither a share nor a time."""
    return {
        "overhead_cycles": config.clock_hz / sibling.clock_hz,
        "array.depthwise_macs_per_cycle": config.array.macs_per_cycle / sibling.array.macs_per_cycle,
    }
