"""Calibrating a config: fit, cross-validation, baselines, verdict, and the config that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.calibration.choices import Choice, Problem, choose
from layerweaver.costmodel.calibration.fit import NOISE, Fit, Target
from layerweaver.costmodel.calibration.hosts import host_proposal
from layerweaver.costmodel.calibration.measurements import FEWEST, Measurement, Measurements
from layerweaver.costmodel.calibration.parameters import parameters_of, rounded, with_values
from layerweaver.costmodel.calibration.validation import (
    cross_validate,
    error_document,
    interval_of,
    score_document,
)
from layerweaver.costmodel.calibration.verdict import shared_by_worst, verdict
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import Evidence
from layerweaver.costmodel.npu.sections import CalibrationConfig
from layerweaver.ir import ConfigError

__all__ = ["Calibration", "Measured", "calibrate", "check_peak"]

FloatArray = NDArray[np.float64]
IDENTIFIED = 0.5
"""A parameter is identified where the measurements leave less than this share of its prior's spread."""

UNEXPLAINED = 0.2
"""Held-out error (mean size of logarithms) above which operators are looked for that run on the host."""
CLEAR_GAIN = 0.9
"""Share of the held-out error that may be left for an operator to be taken for one of the host's."""
MOST_HOSTED = 3
FEWEST_TO_SEARCH = 10
"""Networks below which operators of the host are not looked for: six of them find what is not there."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A measured network that could be read, and the index of the layer if only one was timed."""

    row: Measurement
    columns: LayerColumns
    layer: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What calibrating gives: the fitted config and the document of ``npu calibrate --json``."""

    config: NpuConfig
    document: dict[str, Any]


def calibrate(
    config: NpuConfig,
    measurements: Measurements,
    networks: Sequence[Measured],
    latency_ms: Callable[[Measured, NpuConfig], float],
    *,
    free: tuple[str, ...] | None = None,
    tell: Callable[[float, str], None] | None = None,
) -> Calibration:
    """Fit a config to measured latencies.

    Args:
        config: The config with data-sheet values.
        measurements: The file.
        networks: Those of its networks that could be read.
        latency_ms: Latency per image on a config, every overhead included.
        free: Parameters to free; None: the usual ones, more where the networks ask for them.
        tell: Told the share done and what is being done.

    Raises:
        ConfigError: If there are fewer than three networks or all are the same, the config's cost model is
            not the analytical one, or a network was measured faster than the peak of the data sheet allows.
    """
    if len(networks) < FEWEST:
        raise ConfigError(
            f"only {len(networks)} of the models can be read",
            where=str(measurements.path),
            accepted=f"give at least {FEWEST} networks",
        )
    names = [item.row.held_out_with for item in networks]
    if len(set(names)) == 1:
        raise ConfigError(
            "all rows are of one network, and a network is held out with all its batch sizes",
            where=str(measurements.path),
            accepted="give at least two networks",
        )
    if config.cost_model != "analytical":
        raise ConfigError(
            f"cost model {config.cost_model!r} cannot be calibrated", where=config.name, accepted="analytical"
        )
    check_peak(config, networks)
    say = tell or _silent
    problem = _problem(config, networks, free)
    shipped = np.array([latency_ms(item, config) for item in networks])
    measured = problem.target.ms
    best = _best_structure(problem, names, shipped, say)
    problem, choice, found = best.problem, best.choice, best.found
    ratios = interval_of(measured, best.held_out)
    validated = score_document([item.row.name for item in networks], measured, best.held_out, ratios)
    baselines = {name: float(error_document(measured, one)["mape"]) for name, one in best.baselines.items()}
    worst, shared = shared_by_worst([item.columns for item in networks], best.held_out / measured - 1)
    fitted = with_values(problem.config, found.values, dict(choice.changes))
    final = _recorded(fitted, measurements, len(set(names)), validated["mape"], ratios)
    predicted = np.array([latency_ms(item, final) for item in networks])
    document = {
        "npu": config.name,
        **score_document([item.row.name for item in networks], measured, predicted, ratios),
        "parameters": _parameter_rows(problem, choice, found),
        "choices": {**best.changes, **dict(choice.changes)},
        "cross_validated": validated,
        "baselines": baselines,
        "verdict": verdict(
            len(set(names)), validated["mape"], baselines, [networks[i].row.name for i in worst], shared
        ),
    }
    return Calibration(final, document)


@dataclass(frozen=True, slots=True, eq=False)
class _Structure:
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
        """Mean size of the logarithm of held-out predictions over measurements."""
        return float(np.mean(np.abs(np.log(self.held_out / self.problem.target.ms))))


def _best_structure(
    problem: Problem, names: Sequence[str], shipped_ms: FloatArray, say: Callable[[float, str], None]
) -> _Structure:
    """The structure that predicts networks best that its fit did not see.

    Fits with and without free clips are as good on what they see (ten parameters explain fifteen networks
    either way) and differ by half on what they do not, so the choice is left to cross-validation. Where
    neither explains the chip, operators are tried on the host, the most telling first, for as long as
    networks that the fit did not see clearly gain by it.
    """

    def tried(one: Problem, changes: Mapping[str, Any], begin: float) -> _Structure:
        say(begin, "fitting")
        choice, found = choose(one, one.target)
        held_out, baselines = cross_validate(
            one, names, (choice, found), shipped_ms, lambda share: say(begin + share / 4, "cross-validating")
        )
        return _Structure(changes, one, choice, found, held_out, baselines)

    best = tried(problem, {}, 0.0)
    if problem.asked is None and problem.config.vector.free_clips is None:
        changes: dict[str, Any] = {"vector.free_clips": True}
        one = replace(problem, config=with_values(problem.config, {}, changes))
        best = min(best, tried(one, changes, 0.25), key=lambda structure: structure.error)
    searches = problem.asked is None and problem.config.host is None and len(set(names)) >= FEWEST_TO_SEARCH
    for _ in range(MOST_HOSTED):
        proposed = host_proposal(best.problem) if searches and best.error > UNEXPLAINED else None
        if proposed is None or proposed.config.host is None:
            break
        changes = {**best.changes, "host.operators": list(proposed.config.host.operators)}
        found = tried(proposed, changes, 0.5)
        if found.error > CLEAR_GAIN * best.error:
            break
        best = found
    return best


def _silent(_share: float, _text: str) -> None:
    """Nobody listens."""


def check_peak(config: NpuConfig, networks: Sequence[Measured]) -> None:
    """Refuse measurements that no efficiency up to 1 can explain."""
    for item in networks:
        counted = item.columns.macs if item.layer is None else item.columns.macs[item.layer]
        macs = float(np.sum(counted)) / item.row.batch
        least_ms = macs * 2 / (config.computed_peak_tops * 1e12) * 1e3
        if item.row.latency_ms < least_ms:
            raise ConfigError(
                f"{item.row.latency_ms:g} ms needs {least_ms / item.row.latency_ms:.3g} times the data "
                f"sheet's peak of {config.computed_peak_tops:.4g} TOPS for {macs / 1e9:.3g} G "
                "multiply-accumulates",
                where=f"{item.row.where}: {item.row.name}",
                accepted="milliseconds per image, and the array and clock of the data sheet",
            )


def _problem(config: NpuConfig, networks: Sequence[Measured], free: tuple[str, ...] | None) -> Problem:
    ms = np.array([item.row.latency_ms for item in networks])
    weight = np.array([item.row.weight for item in networks])
    target = Target(
        ms=ms,
        batch=np.array([float(item.row.batch) for item in networks]),
        weight=weight / weight.mean(),
        sd=np.array([item.row.sd_ms for item in networks]) / ms,
    )
    parameters = parameters_of(config, float(np.median(ms)))
    for name in free or ():
        if name not in parameters:
            raise ConfigError(
                f"{name} is free, but the config has no host", where=config.name, accepted="host: operators"
            )
    timed = [(item.columns, item.layer) for item in networks]
    return Problem(config, timed, target, parameters, free)


def _parameter_rows(problem: Problem, choice: Choice, found: Fit) -> list[dict[str, Any]]:
    """Start, fitted value, spread and whether the networks tell it, of every free parameter."""
    predicted = problem.work(choice).latency_ms(found.values) / problem.target.batch
    errors = np.log(predicted / problem.target.ms)
    noise = max(NOISE, 1.2533 * float(np.mean(np.abs(errors))))
    spreads = np.array([parameter.spread for parameter in found.parameters])
    information = found.jacobian.T @ (found.jacobian * problem.target.weight[:, None]) / noise**2
    covariance = np.linalg.inv(information + np.diag(1 / spreads**2))
    rows = []
    left = np.sqrt(np.diag(covariance)).tolist()
    for parameter, position, sd in zip(found.parameters, found.positions.tolist(), left, strict=True):
        value = parameter.value(position)
        slope = value * (1 - value) if parameter.share else value
        rows.append(
            {
                "name": parameter.name,
                "start": parameter.start,
                "fitted": rounded(parameter.name, value),
                "sd": float(f"{slope * sd:.3g}"),
                "identified": bool(sd < IDENTIFIED * parameter.spread),
            }
        )
    return rows


def _recorded(
    config: NpuConfig,
    measurements: Measurements,
    networks: int,
    held_out_mape: float,
    ratios: tuple[float, float],
) -> NpuConfig:
    """The config with what it was fitted to."""
    record = CalibrationConfig(
        sha256=measurements.sha256,
        date=measurements.date,
        networks=networks,
        held_out_mape=float(f"{held_out_mape:.4g}"),
        low_ratio=ratios[0],
        high_ratio=ratios[1],
    )
    source = (
        f"fitted to {networks} networks: {measurements.path.name}, sha256 {measurements.sha256}, "
        f"{measurements.date}; {held_out_mape:.1%} mean absolute error on networks held out"
    )
    return config.model_copy(
        update={
            "evidence": Evidence.MEASURED,
            "calibration": record,
            "sources": {**config.sources, "calibration": source},
        }
    )
