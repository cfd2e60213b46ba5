"""The roofline of an NPU with a model's layers under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerweaver.backend_sim.report.stills import drawing, picture
from layerweaver.backend_sim.results.reading import ResultError
from layerweaver.ir import OutputError, atomic_write, write_text
from layerweaver.ir.extras import need_extra
from layerweaver.ir.text import counted
from layerweaver.ir.text import figure as in_digits

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["LayerPoint", "RooflineFigure", "roofline_figure", "write_figure"]

_FORMATS = (".svg", ".png", ".html")


@dataclass(frozen=True, slots=True)
class LayerPoint:
    """One layer with products and DRAM traffic.

    Attributes:
        name: Layer name.
        bound_by: What it waits for longest.
        intensity: Operations per DRAM byte.
        tops: Operations over the longer of its compute and memory time, 10^12 per second.
        share: Of the model's time, with every layer as long as its longer side.
    """

    name: str
    bound_by: str
    intensity: float
    tops: float
    share: float


@dataclass(frozen=True, slots=True)
class RooflineFigure:
    """What a roofline shows, apart from how it is drawn.

    Attributes:
        title: Model and NPU.
        peak_tops: The flat roof.
        dram_gb_s: The slope.
        points: Layers.
        whole: The whole model's intensity, and its operations by the time it takes alone; None without
            traffic.
        left_out: Layers without multiply-accumulates, and those without DRAM traffic.
    """

    title: str
    peak_tops: float
    dram_gb_s: float
    points: tuple[LayerPoint, ...]
    whole: tuple[float, float] | None
    left_out: tuple[int, int] = (0, 0)

    @property
    def note(self) -> str:
        """What has no place under a roofline, in words; empty if all layers have."""
        idle, resident = self.left_out
        parts = [f"{idle} without MACs"] if idle else []
        parts += [f"{resident} without DRAM traffic"] if resident else []
        every = idle + resident + len(self.points)
        are = "layer is" if every == 1 else "layers are"
        return f"{idle + resident} of {every} {are} not drawn: {', '.join(parts)}" if parts else ""

    @property
    def ridge(self) -> float:
        """Operations per byte at which both roofs meet."""
        return self.peak_tops * 1e3 / self.dram_gb_s

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """Range of intensities and of operations to draw, with room around."""
        whole = [self.whole] if self.whole else []
        intensities = [point.intensity for point in self.points] + [self.ridge] + [pair[0] for pair in whole]
        tops = [point.tops for point in self.points] + [self.peak_tops] + [pair[1] for pair in whole]
        return min(intensities) / 2.5, max(intensities) * 2.5, min(tops) / 2.5, max(tops) * 2.5

    def roof(self) -> tuple[list[float], list[float]]:
        """The roof as three corners."""
        low, high, _, _ = self.limits
        return [low, self.ridge, high], [low * self.dram_gb_s / 1e3, self.peak_tops, self.peak_tops]

    def groups(self) -> dict[str, list[LayerPoint]]:
        """Points by what bounds them."""
        found: dict[str, list[LayerPoint]] = {}
        for point in sorted(self.points, key=lambda point: point.bound_by):
            found.setdefault(point.bound_by, []).append(point)
        return found

    def to_plotly(self) -> go.Figure:
        """An interactive figure."""
        return _interactive(self)

    def _repr_html_(self) -> str:
        markup: str = self.to_plotly().to_html(full_html=False, include_plotlyjs="cdn")
        return markup


def roofline_figure(document: Mapping[str, Any]) -> RooflineFigure:
    """Collect a roofline from the document of ``inspect`` with an NPU.

    Layers without multiply-accumulates or without DRAM traffic have no place under a roofline and are left
    out; their work still counts in the whole model's point.

    Raises:
        ResultError: If the document has no costs.
    """
    roof = document.get("roofline")
    if not isinstance(roof, Mapping):
        raise ResultError("has no costs, so no roofline can be drawn", accepted="inspect with --npu")
    clock_hz = roof["clock_hz"]
    layers = document["layers"]
    spent = [max(layer["compute_cycles"], layer["memory_cycles"]) for layer in layers]
    total = sum(spent) or 1
    points = tuple(
        LayerPoint(
            layer["name"],
            str(layer["bound_by"]),
            2 * layer["macs"] / layer["dram_bytes"],
            2 * layer["macs"] * clock_hz / cycles / 1e12,
            cycles / total,
        )
        for layer, cycles in zip(layers, spent, strict=True)
        if layer["macs"] and layer["dram_bytes"] and cycles
    )
    whole = None
    if roof["arithmetic_intensity"] and roof["alone_tops"]:
        whole = (roof["arithmetic_intensity"], roof["alone_tops"])
    title = f"{Path(document['model']).name}, {document['bound_to']}, on {document['npu']}"
    idle = sum(not layer["macs"] for layer in layers)
    left_out = idle, len(layers) - idle - len(points)
    return RooflineFigure(title, roof["peak_tops"], roof["dram_gb_s"], points, whole, left_out)


def _interactive(roofline: RooflineFigure) -> go.Figure:
    import plotly.graph_objects as go  # noqa: PLC0415 - an optional extra

    from layerweaver.backend_sim.report.palette import (  # noqa: PLC0415
        DANGER,
        MARK,
        colour,
        plain,
        styled,
    )

    figure = go.Figure()
    roof_x, roof_y = roofline.roof()
    roof_line = {"color": MARK, "width": 2.5}
    figure.add_scatter(x=roof_x, y=roof_y, mode="lines", name="roof", line=roof_line, hoverinfo="skip")
    for index, (bound, points) in enumerate(roofline.groups().items()):
        figure.add_scatter(
            x=[point.intensity for point in points],
            y=[point.tops for point in points],
            customdata=[[plain(point.name), point.share] for point in points],
            mode="markers",
            name=f"bound by {bound}",
            marker={
                "color": colour(index),
                "symbol": index,
                "size": [_diameter(point) for point in points],
                "opacity": 0.75,
                "line": {"width": 1, "color": "#ffffff"},
            },
            hovertemplate="%{customdata[0]}<br>%{x:,.3r} ops/byte, %{y:,.3r} TOPS<br>"
            "%{customdata[1]:.1%} of the time",
        )
    if roofline.whole:
        x, y = roofline.whole
        star = {"color": DANGER, "symbol": "star", "size": 16, "line": {"width": 1, "color": "#ffffff"}}
        figure.add_scatter(x=[x], y=[y], mode="markers", name="whole model, alone", marker=star)
    styled(figure, height=520, x_title="operations per DRAM byte", y_title="10^12 operations per second")
    low, high, bottom, top = roofline.limits
    figure.update_xaxes(type="log", range=[log10(low), log10(high)], dtick=1)
    figure.update_yaxes(type="log", range=[log10(bottom), log10(top)], dtick=1)
    figure.update_layout(
        title={
            "text": "<br>".join(plain(line) for line in (roofline.title, roofline.note) if line),
            "font": {"size": 16},
            "x": 0.02,
        },
        margin={"t": 56},
    )
    return figure


def _diameter(point: LayerPoint) -> float:
    return 7 + 60 * min(point.share, 0.25)


def _still(roofline: RooflineFigure, kind: str) -> bytes:
    """The figure as SVG or PNG, by matplotlib: it needs no browser."""
    from layerweaver.backend_sim.report.palette import DANGER, MARK, colour  # noqa: PLC0415

    markers = "osD^vP*X"
    with drawing(7.2, 4.8) as figure:
        axes = figure.add_subplot()
        axes.plot(*roofline.roof(), color=MARK, linewidth=2.2)
        for index, (bound, points) in enumerate(roofline.groups().items()):
            axes.scatter(
                [point.intensity for point in points],
                [point.tops for point in points],
                s=[_diameter(point) ** 2 for point in points],
                marker=markers[index % len(markers)],
                color=colour(index),
                alpha=0.75,
                edgecolors="white",
                linewidths=0.8,
                label=f"bound by {bound} ({counted(len(points), 'layer')})",
            )
        if roofline.whole:
            x, y = roofline.whole
            axes.scatter(
                [x],
                [y],
                s=220,
                marker="*",
                color=DANGER,
                edgecolors="white",
                label="whole model, alone",
                zorder=5,
            )
        low, high, bottom, top = roofline.limits
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top))
        axes.set_xlabel("operations per DRAM byte")
        axes.set_ylabel("10¹² operations per second")
        axes.set_title(
            "\n".join(filter(None, (roofline.title, roofline.note))),
            loc="left",
            fontsize=11,
            parse_math=False,
        )
        peak, slope = f"{in_digits(roofline.peak_tops, 4)} TOPS", f"{in_digits(roofline.dram_gb_s, 4)} GB/s"
        note = f"{peak}, {slope}, ridge at {in_digits(roofline.ridge, 4)} ops/byte"
        axes.annotate(
            note,
            (high, roofline.peak_tops),
            xytext=(-6, 5),
            textcoords="offset points",
            ha="right",
            fontsize=9,
        )
        axes.grid(visible=True, which="major", color="#d5dce4", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="lower right", frameon=False, fontsize=9, markerscale=0.6)
        return picture(figure, kind)


def write_figure(figure: RooflineFigure, path: Path) -> None:
    """Write a roofline as ``.svg``, ``.png`` or ``.html`` (interactive, self-contained).

    Raises:
        OutputError: If the suffix is another one, or the file cannot be written, or the ``report`` extra is
            missing.
    """
    kind = Path(path).suffix.lower()
    if kind not in _FORMATS:
        raise OutputError(
            f"no picture ends in {kind!r}", where=str(path), accepted=f"use one of {', '.join(_FORMATS)}"
        )
    need_extra("plotly" if kind == ".html" else "matplotlib", "drawing", "report", str(path))
    if kind == ".html":
        page = figure.to_plotly().to_html(
            full_html=True, include_plotlyjs=True, config={"displayModeBar": False, "responsive": True}
        )
        write_text(Path(path), page)
        return
    data = _still(figure, kind[1:])
    with atomic_write(Path(path)) as stream:
        stream.write(data)
