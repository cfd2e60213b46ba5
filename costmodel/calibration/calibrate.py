"""Calibrating a config: fit, cross-validation, baselines, verdict, and the config that comes of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.calibration.choices import Choice, Problem
from layerweaver.costmodel.calibration.extent import Extent
from layerweaver.costmodel.calibration.fit import NOISE, Fit, Target
from layerweaver.costmodel.calibration.measurements import Measurement, Measurements
from layerweaver.costmodel.calibration.parameters import parameters_of, rounded, with_values
from layerweaver.costmodel.calibration.siblings import Sibling, uninformed
from layerweaver.costmodel.calibration.structures import Tell, best_structure
from layerweaver.costmodel.calibration.validation import (
    Inform,
    error_document,
    interval_of,
    score_document,
)
from layerweaver.costmodel.calibration.verdict import shared_by_worst, verdict
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.npu.calibrated import figures_sha256
from layerweaver.costmodel.npu.config import NpuConfig
from layerweaver.costmodel.npu.fields import Evidence
from layerweaver.costmodel.npu.sections import CalibrationConfig
from layerweaver.ir import ConfigError
from layerweaver.ir.text import counted, figure

__all__ = ["Calibration", "Measured", "calibrate", "check_peak"]

FloatArray = NDArray[np.float64]
FEWEST = 3
IDENTIFIED = 0.5
"""A parameter is identified where the measurements leave less than this share of its prior's spread."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A measured network that could be read, and the index of the layer if only one was timed."""

    row: Measurement
    columns: LayerColumns
    layer: int | None = None


Relative = tuple[NpuConfig, Measurements, Sequence[Measured]]
"""Another chip with its measurements, and those of its networks that could be read."""


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
    sibling: Relative | None = None,
    tell: Callable[[float, str], None] | None = None,
) -> Calibration:
    """Fit a config to measured latencies.

    Args:
        config: The config with data-sheet values; of one that was fitted before, the verdict says so.
        measurements: The file.
        networks: Those of its networks that could be read.
        latency_ms: Latency per image on a config, every overhead included.
        free: Parameters to free; None: the usual ones, more where the networks ask for them.
        sibling: A chip of the same make with its own measurements, whose fit the priors come from.
        tell: Told the share done and what is being done.

    Raises:
        ConfigError: If there are fewer than three networks or all are the same, the config's cost model is
            not the analytical one, or a network was measured faster than the peak of the data sheet allows.
    """
    _check(config, measurements, networks)
    say = tell or _silent
    names = [item.row.held_out_with for item in networks]
    problem = _problem(config, networks, free)
    inform: Inform = uninformed
    if sibling is not None:
        inform = _fitted_sibling(sibling, latency_ms, lambda share, text: say(share / 2, f"sibling: {text}"))
        say = functools.partial(_second_half, say)
    shipped = np.array([latency_ms(item, config) for item in networks])
    measured = problem.target.ms
    best = best_structure(problem, names, shipped, inform, say)
    problem, choice, found = best.problem, best.choice, best.found
    ratios = interval_of(measured, best.held_out)
    validated = score_document([item.row for item in networks], measured, best.held_out, ratios)
    baselines = {name: float(error_document(measured, one)["mape"]) for name, one in best.baselines.items()}
    worst, shared = shared_by_worst([item.columns for item in networks], best.held_out / measured - 1)
    fitted = with_values(problem.config, found.values, dict(choice.changes))
    before = _fitted_before([config] if sibling is None else [config, sibling[0]])
    extent = Extent.of(item.row for item in networks)
    final = _recorded(fitted, measurements, extent, validated["mape"], ratios, sibling=sibling, before=before)
    predicted = np.array([latency_ms(item, final) for item in networks])
    farthest = list(dict.fromkeys(networks[index].row.name for index in worst))
    document = {
        "npu": config.name,
        **score_document([item.row for item in networks], measured, predicted, ratios),
        "parameters": _parameter_rows(problem, choice, found),
        "choices": {**best.changes, **dict(choice.changes)},
        "sibling": None if sibling is None else sibling[0].name,
        "cross_validated": validated,
        "baselines": baselines,
        "verdict": verdict(extent, validated["mape"], baselines, farthest, shared)
        + (f" That error may flatter: {before}." if before else ""),
    }
    return Calibration(final, document)


def _fitted_sibling(
    sibling: Relative, latency_ms: Callable[[Measured, NpuConfig], float], say: Tell
) -> Inform:
    """What the fit of a sibling chip tells of another's problem."""
    config, measurements, networks = sibling
    _check(config, measurements, networks)
    names = [item.row.held_out_with for item in networks]
    shipped = np.array([latency_ms(item, config) for item in networks])
    best = best_structure(_problem(config, networks, None), names, shipped, uninformed, say)
    return Sibling(best.problem, best.choice, best.found, names).inform


def _fitted_before(configs: Sequence[NpuConfig]) -> str:
    """Which of the figures that a fit sets out from have seen measurements already, in words; "" for none."""
    told = [
        f"{config.name} was fitted to {Extent.of_record(config.calibration).words} before"
        for config in configs
        if config.calibration is not None
    ]
    return f"{' and '.join(told)}, so the priors may have seen what is held out" if told else ""


def _silent(_share: float, _text: str) -> None:
    """Nobody listens."""


def _second_half(say: Tell, share: float, text: str) -> None:
    """Tell of what comes after the sibling."""
    say(0.5 + share / 2, text)


def _check(config: NpuConfig, measurements: Measurements, networks: Sequence[Measured]) -> None:
    """Refuse what cannot be calibrated."""
    if len(networks) < FEWEST:
        raise ConfigError(
            f"has {counted(len(networks), 'measurement')}",
            where=str(measurements.path),
            accepted=f"give at least {FEWEST} networks or layers to fit a config to",
        )
    if len({item.row.held_out_with for item in networks}) == 1:
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


def check_peak(config: NpuConfig, networks: Sequence[Measured]) -> None:
    """Refuse measurements that no efficiency up to 1 can explain."""
    for item in networks:
        counted = item.columns.macs if item.layer is None else item.columns.macs[item.layer]
        macs = float(np.sum(counted)) / item.row.batch
        least_ms = macs * 2 / (config.computed_peak_tops * 1e12) * 1e3
        if item.row.latency_ms < least_ms:
            raise ConfigError(
                f"{item.row.latency_ms:g} ms needs {figure(least_ms / item.row.latency_ms)} times the data "
                f"sheet's peak of {figure(config.computed_peak_tops, 4)} TOPS for {figure(macs / 1e9)} G "
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
    extent: Extent,
    held_out_mape: float,
    ratios: tuple[float, float],
    *,
    sibling: Relative | None,
    before: str,
) -> NpuConfig:
    """The config with what it was fitted to."""
    record = CalibrationConfig(
        sha256=measurements.sha256,
        date=measurements.date,
        networks=extent.networks,
        layers=extent.layers or None,
        held_out_mape=float(f"{held_out_mape:.4g}"),
        low_ratio=ratios[0],
        high_ratio=ratios[1],
        figures_sha256=figures_sha256(config),
    )
    source = (
        f"fitted to {extent.words}: {measurements.path.name}, sha256 {measurements.sha256}, "
        f"{measurements.date}; {held_out_mape:.1%} mean absolute error on {extent.kinds} held out"
    )
    if sibling is not None:
        source += (
            f"; priors from {sibling[0].name}, fitted to {sibling[1].path.name}, sha256 {sibling[1].sha256}"
        )
    if before:
        source += f"; {before}"
    return config.model_copy(
        update={
            "evidence": Evidence.MEASURED,
            "calibration": record,
            "sources": {**config.sources, "calibration": source},
        }
    )
