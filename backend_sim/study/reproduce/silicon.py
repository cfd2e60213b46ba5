"""Reproduce latencies of networks measured on real NPUs with the shipped calibrated configs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from layerweaver.backend_sim.results.reproduced import Silicon, SiliconNpu
from layerweaver.costmodel import NpuConfig, load_npu, npu_names
from layerweaver.costmodel.npu.calibrated import calibration_of
from layerweaver.ir import ConfigError
from layerweaver.scheduler.compile.measured import read_networks, score_networks

__all__ = ["calibrated_npus", "reproduce_silicon"]


def calibrated_npus() -> list[NpuConfig]:
    """The NPUs that are shipped or plugged in and were calibrated to measurements of networks."""
    return [config for config in map(load_npu, npu_names()) if calibration_of(config) is not None]


def reproduce_silicon(
    csv: Path, *, npu: str | None = None, tell: Callable[[float, str], None] | None = None
) -> tuple[Silicon, list[str]]:
    """Hold measured latencies against calibrated configs.

    Args:
        csv: Measurements as ``npu score`` takes them; inverse throughputs count as latencies.
        npu: The NPU; None: the one that was fitted to this very file, else every calibrated one.
        tell: Told the share done and what is being done.

    Returns:
        The document and a line for every model that could not be read, and for every NPU that was left out
        because its data sheet allows no such times (where none is named). The document has ``npu``,
        ``count``, ``mape``, ``median_ape``, ``bias``, ``rank_correlation``, ``covered`` (the share of
        those within their 80% interval; None where none has one) and ``fitted`` (whether the config was
        fitted to this file) of the NPU that fits best, and ``npus`` with the same for each.

    Raises:
        ConfigError: If the file is wrong, no model can be read, the NPU was never calibrated or was changed
            since, or no data sheet allows such times.
    """
    say = tell or _silent
    measurements, networks, problems = read_networks(
        csv, throughput=True, model=None, tell=lambda share, text: say(share / 2, text)
    )
    if not networks:
        raise ConfigError("no model can be read", where=str(csv), accepted=problems[0])
    sha256 = measurements.sha256
    configs = calibrated_npus() if npu is None else [load_npu(npu)]
    if not configs or calibration_of(configs[0]) is None:
        changed = bool(configs and configs[0].calibration)
        raise ConfigError(
            "was changed since it was calibrated" if changed else "was never calibrated",
            where=npu or "NPUs",
            accepted=", ".join(config.name for config in calibrated_npus()) or "npu calibrate",
        )
    fitted = [config for config in configs if config.calibration and config.calibration.sha256 == sha256]
    rows: list[SiliconNpu] = []
    slow: list[ConfigError] = []
    for number, config in enumerate(fitted or configs):
        say(0.5 + number / len(fitted or configs) / 2, config.name)
        try:
            score = score_networks(config, networks)
        except ConfigError as error:
            slow.append(error)
            problems.append(f"{config.name}: left out: {error}")
            continue
        told = [row for row in score["rows"] if row["low_ms"] is not None]
        within = [row["low_ms"] <= row["measured_ms"] <= row["high_ms"] for row in told]
        rows.append(
            {
                "npu": config.name,
                "count": score["count"],
                "mape": score["mape"],
                "median_ape": score["median_ape"],
                "bias": score["bias"],
                "rank_correlation": score["rank_correlation"],
                "covered": sum(within) / len(within) if within else None,
                "fitted": bool(fitted),
            }
        )
    if not rows:
        raise slow[-1]
    rows.sort(key=lambda row: (row["mape"], row["npu"]))
    return {**rows[0], "npus": rows}, problems


def _silent(_share: float, _text: str) -> None:
    """Nobody listens."""
