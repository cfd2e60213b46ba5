"""Maximum a posteriori: parameters that explain latencies and stay near their priors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from layerweaver.costmodel.calibration.parameters import Parameter
from layerweaver.costmodel.calibration.work import NetworkWork

__all__ = ["Fit", "Target", "fit", "fit_point"]

FloatArray = NDArray[np.float64]
Loss = Callable[[FloatArray], FloatArray]
NOISE = 0.03
"""Spread of the logarithm of measured over predicted that the model does not have to explain."""
ROBUST = 2.0
"""Residuals beyond so many spreads count by their size, not by their square (pseudo-Huber)."""
STRANGE = 4.0
"""Residuals beyond so many spreads count by the logarithm of their size (Cauchy): a compiler's quirk with one
network says nothing of the others. Such a loss has several minima: the pseudo-Huber one says where to begin.
"""
MAX_EVALUATIONS = 60
ROUGH, EXACT = 1e-4, 1e-7
"""Relative changes below which the first search, and the second, end."""
STEP = 1e-4
"""Of central differences, on the axes of the priors."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Measured latencies; arrays of shape (networks,).

    Attributes:
        ms: Latency per image.
        batch: Images per inference.
        weight: What the measurement counts, 0 where it is held out.
        sd: Standard deviation of its logarithm by the measurement itself.
    """

    ms: FloatArray
    batch: FloatArray
    weight: FloatArray
    sd: FloatArray

    def held_out(self, networks: NDArray[np.bool_]) -> Target:
        """The same without some networks."""
        return Target(self.ms, self.batch, np.where(networks, 0.0, self.weight), self.sd)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Fitted parameters.

    Attributes:
        parameters: The free ones.
        positions: Where they came to lie, on the axes of their priors, shape (parameters,).
        objective: Half the sum of robust squares (Cauchy) and of squared distances from the priors' middles.
        losses: What each network adds to it, 0 where it is held out, shape (networks,).
        jacobian: Change of the logarithm of each prediction with each position, shape (networks, parameters).
    """

    parameters: tuple[Parameter, ...]
    positions: FloatArray
    objective: float
    losses: FloatArray
    jacobian: FloatArray

    @property
    def values(self) -> dict[str, float]:
        """Fitted values by name."""
        pairs = zip(self.parameters, self.positions.tolist(), strict=True)
        return {parameter.name: parameter.value(position) for parameter, position in pairs}


def _huber(residuals: FloatArray) -> FloatArray:
    """Twice the pseudo-Huber losses."""
    return 2 * ROBUST**2 * (np.sqrt(1 + (residuals / ROBUST) ** 2) - 1)


def _cauchy(residuals: FloatArray) -> FloatArray:
    """Twice the Cauchy losses."""
    return STRANGE**2 * np.log1p((residuals / STRANGE) ** 2)


def fit(
    work: NetworkWork, target: Target, parameters: Sequence[Parameter], start: FloatArray | None = None
) -> Fit:
    """Fit parameters to measured latencies.

    Args:
        work: The networks.
        target: Their latencies.
        parameters: What is free.
        start: Positions to begin at; None: the middles of the priors.
    """
    free = tuple(parameters)
    middles = np.array([parameter.position(parameter.middle) for parameter in free])
    spreads = np.array([parameter.spread for parameter in free])
    measured = np.log(target.ms * target.batch)
    used = target.weight > 0
    scale = np.sqrt(target.weight[used]) / np.hypot(NOISE, target.sd[used])

    def residuals(positions: FloatArray, loss: Loss) -> FloatArray:
        errors = (_log_ms(work, free, positions)[used] - measured[used]) * scale
        return np.concatenate([np.sign(errors) * np.sqrt(loss(errors)), (positions - middles) / spreads])

    at, cost = middles if start is None else start, 0.0
    for loss, tolerance in ((_huber, ROUGH), (_cauchy, EXACT)):
        found = least_squares(
            residuals,
            at,
            args=(loss,),
            x_scale=spreads,
            max_nfev=MAX_EVALUATIONS,
            xtol=tolerance,
            ftol=tolerance,
            diff_step=[1e-6] * len(free),
        )
        at, cost = found.x, float(found.cost)
    losses = np.zeros(len(used))
    losses[used] = residuals(at, _cauchy)[: int(used.sum())] ** 2 / 2
    return Fit(free, at, cost, losses, _sensitivities(work, free, at))


def fit_point(work: NetworkWork, parameters: Sequence[Parameter]) -> Fit:
    """The middles of the priors as if they had been fitted, with the sensitivities there."""
    free = tuple(parameters)
    middles = np.array([parameter.position(parameter.middle) for parameter in free])
    return Fit(free, middles, 0.0, np.zeros(len(work.first)), _sensitivities(work, free, middles))


def _log_ms(work: NetworkWork, free: Sequence[Parameter], positions: FloatArray) -> FloatArray:
    values = {p.name: p.value(x) for p, x in zip(free, positions.tolist(), strict=True)}
    logs: FloatArray = np.log(np.maximum(work.latency_ms(values), 1e-12))
    return logs


def _sensitivities(work: NetworkWork, free: Sequence[Parameter], positions: FloatArray) -> FloatArray:
    """Central differences of the logarithms of predictions, shape (networks, parameters)."""
    columns = []
    for index in range(len(positions)):
        moved = np.zeros_like(positions)
        moved[index] = STEP
        change = _log_ms(work, free, positions + moved) - _log_ms(work, free, positions - moved)
        columns.append(change / (2 * STEP))
    return np.stack(columns, axis=1)
