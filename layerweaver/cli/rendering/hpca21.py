"""The document of ``reproduce hpca21`` as tables of at most 80 columns, per scenario and kind of costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from layerweaver.cli.session import table

if TYPE_CHECKING:
    from rich.table import Table

    from layerweaver.backend_sim.results.reproduced import Hpca21, PairGain

__all__ = ["hpca21_tables"]

_SCENARIOS = {"single": "batch 1, memory-centric", "multi16": "batch 16, compute-centric"}
_COSTS = {"paper-ratios": "the paper's time ratios", "own": "our own costs"}
_POLICIES = {"layerweaver": "Layerweaver", "aimt": "AI-MT"}


def hpca21_tables(document: Hpca21) -> Iterator[Table]:
    """Gains pair by pair beside the paper's, for every scenario and kind of costs, then the mean errors."""
    rows = document["rows"]
    for costs, scenario in dict.fromkeys((row["costs"], row["scenario"]) for row in rows):
        pairs: dict[str, dict[str, PairGain]] = {}
        for row in rows:
            if (row["costs"], row["scenario"]) == (costs, scenario):
                pairs.setdefault(row["pair"], {})[row["policy"]] = row
        title = f"STP gain, percent: {_SCENARIOS[scenario]}, {_COSTS[costs]}"
        names = ("paper", "ours", "bound", "PEs", "DRAM", "ANTT", "AI-MT paper", "ours")
        grid = table(title, [("pair", "left"), *((name, "right") for name in names)])
        for pair, found in pairs.items():
            ours, rival = found["layerweaver"], found["aimt"]
            grid.add_row(
                pair,
                _points(ours["paper_pct"]),
                _points(ours["stp_gain_pct"]),
                _points(ours["bound_pct"]),
                f"{ours['compute_utilization']:.0%}",
                f"{ours['dram_utilization']:.0%}",
                f"{ours['antt']:.2f}",
                _points(rival["paper_pct"]),
                _points(rival["stp_gain_pct"]),
            )
        yield grid
    columns = [("scenario", "left"), ("costs", "left"), ("policy", "left")]
    core = "RN, IC, MN x BB, BL"
    grid = table("mean absolute error, points", [*columns, ("all pairs", "right"), (core, "right")])
    for group in document["groups"]:
        grid.add_row(
            group["scenario"],
            group["costs"],
            _POLICIES.get(group["policy"], group["policy"]),
            f"{group['mean_abs_error_pct']:.2f}",
            f"{group['mean_abs_error_core_pct']:.2f}",
        )
    yield grid


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
