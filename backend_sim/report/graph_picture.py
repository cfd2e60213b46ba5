"""The layer graph as a picture: what is fused into a layer, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.report.graph_layout import place
from layerweaver.ir import Layer, LayerGraph, OutputError, write_text
from layerweaver.ir.extras import need_extra
from layerweaver.ir.text import counted, figure

__all__ = ["MAX_GRAPH_LAYERS", "graph_dot", "graph_html", "write_graph_picture"]

MAX_GRAPH_LAYERS = 5000
"""Larger graphs are refused: no viewer shows them."""

_KIND_FILL = {
    "matrix": "#2f7fc4",
    "recurrent": "#9a63c9",
    "gather": "#c4641a",
    "vector": "#2e9560",
    "move": "#7a7f8c",
}
_HEAT = ("#e9eef5", "#fbe3c4", "#f7c08a", "#ee9056", "#d65a3a", "#a92a2a")
_SYMBOL = {
    "matrix": "square",
    "recurrent": "hexagon",
    "gather": "diamond",
    "vector": "circle",
    "move": "cross",
}


def _costs(document: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """Layers of an inspect document that have costs, by name."""
    layers = document.get("layers", ()) if document else ()
    return {layer["name"]: layer for layer in layers if "compute_cycles" in layer}


def _cycles(cost: Mapping[str, Any] | None) -> int:
    return max(cost["compute_cycles"], cost["memory_cycles"]) if cost else 0


def _shares(graph: LayerGraph, costs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    total = sum(_cycles(costs.get(layer.name)) for layer in graph) or 1
    return {layer.name: _cycles(costs.get(layer.name)) / total for layer in graph}


def _heat(share: float, largest: float) -> str:
    if largest <= 0:
        return _HEAT[0]
    return _HEAT[min(len(_HEAT) - 1, int(share / largest * len(_HEAT)))]


def _edges(graph: LayerGraph) -> list[tuple[str, str, int]]:
    """Every edge once, with the bytes of the activations it carries."""
    producers = graph.producers
    found: dict[tuple[str, str], int] = {}
    for layer in graph:
        for tensor in layer.inputs:
            source = producers.get(tensor.name)
            if source is not None and source != layer.name:
                found[source, layer.name] = found.get((source, layer.name), 0) + tensor.nbytes()
    return [(source, target, size) for (source, target), size in found.items()]


def _check(graph: LayerGraph) -> None:
    if len(graph) > MAX_GRAPH_LAYERS:
        raise OutputError(
            f"{len(graph)} layers are too many to draw",
            where=graph.name,
            accepted=f"graphs of at most {MAX_GRAPH_LAYERS} layers",
        )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def graph_dot(graph: LayerGraph, document: Mapping[str, Any] | None = None) -> str:
    """The graph in Graphviz' language: fill shows the share of the time, the border the kind of layer.

    Args:
        graph: The layers.
        document: The document of ``inspect``; with an NPU's costs, fills are by cost.

    Raises:
        OutputError: If the graph has more than :data:`MAX_GRAPH_LAYERS` layers.
    """
    _check(graph)
    costs = _costs(document)
    shares = _shares(graph, costs)
    largest = max(shares.values(), default=0.0)
    numbers = {layer.name: f"n{index}" for index, layer in enumerate(graph)}
    lines = [
        f"digraph {_quoted(graph.name)} {{",
        '  graph [rankdir=TB, nodesep=0.25, ranksep=0.3, fontname="sans-serif"];',
        '  node [shape=box, style="filled,rounded", fontname="sans-serif", fontsize=10, penwidth=2];',
        '  edge [color="#7a8594", fontname="sans-serif", fontsize=8];',
    ]
    for layer in graph:
        label = [layer.name, " + ".join(layer.operators)]
        fill, ink = "#ffffff", "#1b2430"
        if costs:
            label.append(f"{_cycles(costs.get(layer.name)):,} cycles, {shares[layer.name]:.1%}")
            fill = _heat(shares[layer.name], largest)
            ink = "#ffffff" if fill == _HEAT[-1] else ink
        border = _KIND_FILL[str(layer.kind)]
        text = "\n".join(label)
        look = f'color="{border}", fillcolor="{fill}", fontcolor="{ink}"'
        lines.append(f"  {numbers[layer.name]} [label={_quoted(text)}, {look}];")
    lines += [
        f'  {numbers[source]} -> {numbers[target]} [label="{figure(size / 1000, 4)} kB"];'
        for source, target, size in _edges(graph)
    ]
    return "\n".join([*lines, "}", ""])


def graph_html(graph: LayerGraph, document: Mapping[str, Any] | None = None) -> str:
    """The graph as one self-contained page that can be zoomed; arguments and errors as :func:`graph_dot`."""
    import plotly.graph_objects as go  # noqa: PLC0415 - an optional extra

    from layerweaver.backend_sim.report.palette import plain, styled  # noqa: PLC0415

    _check(graph)
    costs = _costs(document)
    shares = _shares(graph, costs)
    largest = max(shares.values(), default=0.0) or 1.0
    edges = _edges(graph)
    spots = place([layer.name for layer in graph], [(source, target) for source, target, _ in edges])
    figure = go.Figure()
    x: list[float | None] = []
    y: list[float | None] = []
    for source, target, _ in edges:
        (x0, y0), (x1, y1) = spots[source], spots[target]
        bend = 0.12 * min(y1 - y0, 8) if y1 - y0 > 1 else 0.0
        x += [x0, (x0 + x1) / 2 - bend, x1, None]
        y += [y0, (y0 + y1) / 2, y1, None]
    line = {"color": "#7a8594", "width": 1, "shape": "spline"}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for kind, colour in _KIND_FILL.items():
        layers = [layer for layer in graph if str(layer.kind) == kind]
        if not layers:
            continue
        figure.add_scatter(
            x=[spots[layer.name][0] for layer in layers],
            y=[spots[layer.name][1] for layer in layers],
            mode="markers+text",
            name=kind,
            text=[plain(_label(layer)) for layer in layers],
            textposition="middle right",
            textfont={"size": 11},
            marker={
                "symbol": _SYMBOL[kind],
                "size": [10 + 22 * (shares[layer.name] / largest) ** 0.5 for layer in layers],
                "color": [_heat(shares[layer.name], largest) if costs else colour for layer in layers],
                "line": {"width": 2.5, "color": colour},
                "opacity": 1,
            },
            customdata=[_hover(layer, costs.get(layer.name), shares[layer.name], plain) for layer in layers],
            hovertemplate="%{customdata}<extra></extra>",
        )
    depth = max((spot[1] for spot in spots.values()), default=0.0)
    styled(figure, height=int(min(12000, 160 + 34 * (depth + 1))), x_title="", y_title="", dragmode="pan")
    columns = [spot[0] for spot in spots.values()] or [0.0]
    figure.update_xaxes(visible=False, range=[min(columns) - 1.2, max(columns) + 2])
    figure.update_yaxes(visible=False, autorange="reversed")
    what = "size and fill: share of the time; border: kind" if costs else "colour: kind"
    figure.update_layout(
        title={
            "text": plain(f"{graph.name}, batch {graph.batch}: {counted(len(graph), 'layer')} ({what})"),
            "font": {"size": 16},
        },
        margin={"t": 80, "l": 16},
        legend={"y": 1, "yanchor": "bottom"},
        paper_bgcolor="#ffffff",
        font={"color": "#1b2430"},
    )
    page: str = figure.to_html(
        full_html=True,
        include_plotlyjs=True,
        config={"displayModeBar": False, "responsive": True, "scrollZoom": True},
    )
    return page


def _label(layer: Layer) -> str:
    name = layer.name if len(layer.name) <= 32 else "…" + layer.name[-31:]
    operators = " + ".join(layer.operators[:4]) + (" …" if len(layer.operators) > 4 else "")
    return f"{name}: {operators}"


def _hover(layer: Any, cost: Mapping[str, Any] | None, share: float, plain: Any) -> str:
    lines = [f"<b>{plain(layer.name)}</b>", plain(" + ".join(layer.operators)), f"{layer.macs:,} MACs"]
    if cost is not None:
        lines.append(f"compute {cost['compute_cycles']:,}, memory {cost['memory_cycles']:,} cycles")
        lines.append(
            f"{share:.2%} of the time, bound by {cost['bound_by']}, {cost['dram_bytes']:,} DRAM bytes"
        )
    return "<br>".join(lines)


def write_graph_picture(graph: LayerGraph, path: Path, document: Mapping[str, Any] | None = None) -> None:
    """Write the graph as ``.html`` or ``.dot``.

    Raises:
        OutputError: If the suffix is another one, the graph is too large, the file cannot be written, or the
            ``report`` extra is missing.
    """
    kind = Path(path).suffix.lower()
    if kind not in {".html", ".dot"}:
        raise OutputError(f"no graph picture ends in {kind!r}", where=str(path), accepted="use .html or .dot")
    if kind == ".html":
        need_extra("plotly", "drawing", "report", str(path))
    text = graph_html(graph, document) if kind == ".html" else graph_dot(graph, document)
    write_text(Path(path), text)
