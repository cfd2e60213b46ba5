"""The Layerweaver paper's Fig. 14, drawn as there: gains of every pair as bars, with the published values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.report.stills import drawing, picture
from layerweaver.backend_sim.results.reproduced import Hpca21
from layerweaver.ir import atomic_write

__all__ = ["draw_hpca21", "write_hpca21_figure"]

_TITLES = {
    "single": "batch 1, memory-centric NPU",
    "multi16": "batch 16, compute-centric NPU",
    "paper-ratios": "the paper's time ratios",
    "own": "our own costs",
}
_BARS = (("aimt", "AI-MT"), ("layerweaver", "Layerweaver"))


def draw_hpca21(document: Hpca21, kind: str) -> bytes:
    """A panel per scenario and kind of costs: bars of AI-MT and Layerweaver, a tick where the paper is.

    Args:
        document: What :func:`~layerweaver.backend_sim.study.reproduce.hpca21.reproduce_hpca21` gives.
        kind: ``svg`` or ``png``.
    """
    from layerweaver.backend_sim.report.palette import HATCHES, colour  # noqa: PLC0415 - loads plotly

    rows = document["rows"]
    panels = list(dict.fromkeys((row["costs"], row["scenario"]) for row in rows))
    with drawing(11, 2.6 * len(panels)) as figure:
        grid: Any = figure.subplots(len(panels), 1, squeeze=False, sharey=True)
        for axes, (costs, scenario) in zip(grid[:, 0], panels, strict=True):
            own = [row for row in rows if (row["costs"], row["scenario"]) == (costs, scenario)]
            pairs = list(dict.fromkeys(row["pair"] for row in own))
            width = 0.8 / len(_BARS)
            for number, (policy, name) in enumerate(_BARS):
                places = [place - 0.4 + (number + 0.5) * width for place in range(len(pairs))]
                found = {row["pair"]: row for row in own if row["policy"] == policy}
                axes.bar(
                    places,
                    [found[pair]["stp_gain_pct"] for pair in pairs],
                    width * 0.94,
                    color=colour(number),
                    hatch=2 * HATCHES[number],
                    edgecolor="white",
                    label=name,
                )
                known = _published(places, [found[pair]["paper_pct"] for pair in pairs])
                axes.hlines(
                    [gain for _, gain in known],
                    [place - width * 0.47 for place, _ in known],
                    [place + width * 0.47 for place, _ in known],
                    color="black",
                    linewidth=2.2,
                    label="the paper" if number == len(_BARS) - 1 else None,
                )
            axes.set_title(f"{_TITLES[scenario]}, {_TITLES[costs]}", loc="left", fontsize=10)
            axes.set_ylabel("STP gain, %")
            axes.set_xticks(range(len(pairs)), pairs, rotation=30, ha="right", fontsize=8)
            axes.grid(visible=True, axis="y", color="#d5dce4", linewidth=0.7)
            axes.set_axisbelow(True)
            axes.set_xlim(-0.6, len(pairs) - 0.4)
            axes.spines[["top", "right"]].set_visible(False)
        grid[0, 0].legend(loc="upper right", frameon=False, ncols=3, fontsize=9)
        return picture(figure, kind)


def _published(places: Sequence[float], gains: Sequence[float | None]) -> list[tuple[float, float]]:
    return [(place, gain) for place, gain in zip(places, gains, strict=True) if gain is not None]


def write_hpca21_figure(document: Hpca21, path: Path) -> None:
    """Write the figure as ``.svg`` or ``.png``.

    Raises:
        OutputError: If the file cannot be written.
    """
    data = draw_hpca21(document, path.suffix.lower()[1:])
    with atomic_write(path) as stream:
        stream.write(data)
