"""Networks that were measured on a chip: read, scored against a config, and calibrated to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from layerweaver.costmodel import NpuConfig, cost_columns
from layerweaver.costmodel.calibration.calibrate import FEWEST, Calibration, Measured, calibrate, check_peak
from layerweaver.costmodel.calibration.measurements import Measurement, Measurements, read_measurements
from layerweaver.costmodel.calibration.suggest import suggest
from layerweaver.costmodel.calibration.validation import score_document
from layerweaver.costmodel.columns import LayerColumns
from layerweaver.costmodel.npu.calibrated import calibration_of
from layerweaver.ir import ConfigError, LayerGraph, ModelError
from layerweaver.ir.spelling import nearest
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.offline import build_offline

__all__ = [
    "calibrate_npu",
    "latency_ms",
    "measured_ms",
    "read_networks",
    "score_networks",
    "score_npu",
    "suggest_networks",
]

Tell = Callable[[float, str], None]


def latency_ms(columns: LayerColumns, config: NpuConfig) -> float:
    """Latency of one inference alone on an NPU, every overhead included, in milliseconds."""
    table = cost_columns(columns, config).table
    return 1e3 * int(build_offline(table).remaining_cycles[0]) / config.clock_hz


def measured_ms(item: Measured, config: NpuConfig) -> float:
    """Latency per image of what was measured: an inference with its overheads, or one layer without them."""
    if item.layer is None:
        return latency_ms(item.columns, config) / item.row.batch
    alone = config.model_copy(update={"inference_overhead_us": None})
    cycles = int(cost_columns(item.columns, alone).layer_latency_cycles[item.layer])
    return 1e3 * cycles / config.clock_hz / item.row.batch


def _layer_of(graph: LayerGraph, name: str) -> int | None:
    """Index of the layer that a measurement names; None where it is of the whole network."""
    names = [layer.name for layer in graph.layers]
    if not name:
        return None
    if name not in names:
        raise ModelError(f"has no layer {name[:80]!r}", where=graph.name, accepted=nearest(name, names))
    return names.index(name)


def read_networks(
    path: Path, *, throughput: bool, model: str | None, tell: Tell
) -> tuple[Measurements, list[Measured], list[str]]:
    """Measurements, the networks that can be read, and what is wrong with the others.

    Raises:
        ConfigError: If the file is wrong.
    """
    measurements = read_measurements(path, throughput=throughput, model=model)
    networks, problems = [], []
    last: tuple[Measurement, LayerColumns] | None = None
    for number, row in enumerate(measurements.rows):
        tell(number / len(measurements.rows), f"reading {row.model}")
        try:
            if last is None or (last[0].source, last[0].dims, last[0].batch) != (
                row.source,
                row.dims,
                row.batch,
            ):
                graph = load_graph(row.source, dims=row.dims, batch=row.batch)
                last = row, LayerColumns.from_graph(graph)
            networks.append(Measured(row, last[1], _layer_of(last[1].graph, row.layer)))
        except ModelError as error:
            problems.append(f"{row.where}: left out: {error}")
    return measurements, networks, problems


def _check_enough(path: Path, networks: Sequence[Measured], problems: Sequence[str]) -> None:
    """Refuse to fit where too few models can be read, and say what is wrong with the first of the others."""
    if problems and len(networks) < FEWEST:
        raise ConfigError(
            f"only {len(networks)} of the models can be read, and a fit takes {FEWEST}",
            where=str(path),
            accepted=problems[0],
        )


def score_npu(
    config: NpuConfig,
    path: Path,
    *,
    throughput: bool = False,
    model: str | None = None,
    tell: Tell | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Hold an NPU config against measured latencies.

    Args:
        config: The config.
        path: CSV ``model,batch,dims,latency_ms[,layer,metric,sd_ms,weight]``.
        throughput: Take inverse throughputs as latencies.
        model: The model of every row where the file has no such column.
        tell: Told the share done and what is being done.

    Returns:
        The document of ``npu score --json`` and a line for every model that could not be read.

    Raises:
        ConfigError: If the file is wrong, no model of it can be read, or one is faster than the peak allows.
    """
    say = tell or _silent
    _, networks, problems = read_networks(path, throughput=throughput, model=model, tell=say)
    if not networks:
        raise ConfigError("no model can be read", where=str(path), accepted=problems[0])
    return score_networks(config, networks), problems


def score_networks(config: NpuConfig, networks: Sequence[Measured]) -> dict[str, Any]:
    """Hold an NPU config against networks at hand: the document of ``npu score --json``.

    Raises:
        ConfigError: If one is faster than the peak allows.
    """
    check_peak(config, networks)
    predicted = np.array([measured_ms(item, config) for item in networks])
    measured = np.array([item.row.latency_ms for item in networks])
    record = calibration_of(config)
    ratios = None if record is None else (record.low_ratio, record.high_ratio)
    document = score_document([item.row for item in networks], measured, predicted, ratios)
    if record is not None and not record.networks:  # its interval is one of layers
        for item, row in zip(networks, document["rows"], strict=True):
            if item.layer is None:
                row.update(low_ms=None, high_ms=None)
    return {"npu": config.name, **document}


def calibrate_npu(
    config: NpuConfig,
    path: Path,
    *,
    free: tuple[str, ...] | None = None,
    sibling: tuple[NpuConfig, Path] | None = None,
    throughput: bool = False,
    model: str | None = None,
    tell: Tell | None = None,
) -> tuple[Calibration, list[str]]:
    """Fit an NPU config to measured latencies; see :func:`~layerweaver.costmodel.calibration.calibrate`.

    Args:
        config: The config with data-sheet values.
        path: As for :func:`score_npu`.
        free: Parameters to free; None: the usual ones, more where the networks ask for them.
        sibling: A chip of the same make and its own file, whose fit the priors come from.
        throughput: Take inverse throughputs as latencies.
        model: As for :func:`score_npu`.
        tell: Told the share done and what is being done.

    Returns:
        The fitted config with its document, and a line for every model that could not be read.

    Raises:
        ConfigError: As there.
    """
    say = tell or _silent
    measurements, networks, problems = read_networks(
        path, throughput=throughput, model=model, tell=lambda share, text: say(share / 10, text)
    )
    _check_enough(path, networks, problems)
    kin: tuple[NpuConfig, Measurements, list[Measured]] | None = None
    if sibling is not None:
        theirs, relatives, others = read_networks(sibling[1], throughput=throughput, model=None, tell=_silent)
        _check_enough(sibling[1], relatives, others)
        kin, problems = (sibling[0], theirs, relatives), [*problems, *others]
    found = calibrate(
        config,
        measurements,
        networks,
        measured_ms,
        free=free,
        sibling=kin,
        tell=lambda share, text: say(0.1 + 0.9 * share, text),
    )
    return found, problems


def suggest_networks(
    config: NpuConfig, models: Sequence[str], count: int, *, tell: Tell | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The networks among some candidates that tell most about an NPU's parameters, most telling first.

    Args:
        config: The config to calibrate.
        models: Paths and ``zoo:NAME``.
        count: How many to choose.
        tell: Told the share done and what is being done.

    Returns:
        ``{"npu", "candidates", "suggested": [{"model", "predicted_ms", "gain"}]}`` and a line for every model
        that could not be read.

    Raises:
        ConfigError: If none can be read.
    """
    say = tell or _silent
    names, columns, problems = [], [], []
    for number, model in enumerate(dict.fromkeys(models)):
        say(number / len(models), f"reading {model}")
        try:
            columns.append(LayerColumns.from_graph(load_graph(model)))
            names.append(model)
        except ModelError as error:
            problems.append(f"left out: {error}")
    if not names:
        raise ConfigError("no model can be read", where="--models", accepted=problems[0] if problems else "")
    rows = suggest(config, names, columns, count)
    return {"npu": config.name, "candidates": len(names), "suggested": rows}, problems


def _silent(_share: float, _text: str) -> None:
    """Nobody listens."""
