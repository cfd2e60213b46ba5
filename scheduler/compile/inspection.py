"""What ``inspect`` and ``models`` report: a model's layers, costed when an NPU is given."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerweaver import models
from layerweaver.costmodel import (
    NpuConfig,
    config_notes,
    cost_graph,
    costed_document,
    load_npu,
    npu_document,
    room_notes,
)
from layerweaver.ir import LayerGraph, ModelError, atomic_write
from layerweaver.ir.csv_text import CsvWriter
from layerweaver.ir.export import graph_document
from layerweaver.scheduler.compile.given_graphs import names_file
from layerweaver.scheduler.compile.sources import (
    ZOO_PREFIX,
    ModelSource,
    given_options,
    load_graph,
    zoo_bytes,
)
from layerweaver.scheduler.offline import build_offline
from layerweaver.scheduler.profile.document import bound_to

__all__ = ["Inspection", "export_zoo_model", "inspect_model", "layers_csv", "zoo_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """A model's layer graph and the document that describes it."""

    graph: LayerGraph
    document: dict[str, Any]


def inspect_model(
    source: str,
    *,
    npu: str | Path | Mapping[str, Any] | NpuConfig | None = None,
    dims: Mapping[str, int] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: Mapping[str, tuple[float, ...]] | None = None,
    trip_counts: Mapping[str, int] | None = None,
    state: Sequence[tuple[str, str]] | None = None,
    batch: int | None = None,
    strict: bool = False,
    fuse: bool = True,
    longest_us: float | None = None,
) -> Inspection:
    """Import a model and describe it.

    Args:
        source: Path of an ONNX file or ``zoo:NAME``.
        npu: Shipped name or path of an NPU config, a mapping, or a config; None leaves costs out.
        dims: Bound symbolic dimensions.
        shapes: Bound or overridden input shapes.
        values: Values of inputs, or of values inside, that shapes depend on.
        trip_counts: Trips of loops that the graph leaves open.
        state: Pairs of graph input and output that feed back; None matches them by name.
        batch: Batch size.
        strict: Refuse operators without a description.
        fuse: Fuse as a compiler would.
        longest_us: Layers whose rows take longer are cut, and every layer shows its rows; None cuts none.

    Raises:
        ModelError: If the model cannot be imported.
        ConfigError: If the NPU config is wrong.
    """
    config = load_npu(npu) if npu is not None else None
    if longest_us is not None and config is None:
        raise ModelError("longest_us is a time, which needs an NPU", accepted="give npu, too")
    options = given_options(
        dims=dims,
        shapes=shapes,
        values=values,
        trip_counts=trip_counts,
        state=state,
        batch=batch,
        strict=strict,
        fuse=fuse,
    )
    graph = ModelSource(source).imported(options).graph
    document = graph_document(graph)
    stated: dict[str, Any] = {
        "dims": {**({} if shapes else _defaults(source)), **options.dims},
        "shapes": {name: list(shape) for name, shape in options.shapes.items()},
        "values": {name: list(value) for name, value in options.values.items()},
        "trip_counts": dict(options.trip_counts),
        "state": None if state is None else [list(pair) for pair in options.state],
        "strict": options.strict,
        "fuse": options.fuse,
        "longest_us": None if longest_us is None else float(longest_us),
    }
    document["stated"] = stated
    document["sha256"] = ModelSource(source).sha256 if names_file(str(source)) else None
    document["bound_to"] = ", ".join([f"batch {graph.batch}", *bound_to(stated)])
    if config is not None:
        costed = cost_graph(graph, config, longest_us=longest_us)
        costs = costed_document(costed, pieces=longest_us is not None)
        for layer, extra in zip(document["layers"], costs["layers"], strict=True):
            layer.update(extra)
        document["totals"].update(costs["totals"])
        offline = build_offline(costed.table)
        standalone = int(offline.remaining_cycles[0])
        document["totals"]["kind"] = str(offline.kind)
        document["totals"]["npu_peak_activation_bytes"] = costed.table.peak_activation_bytes
        document["totals"]["standalone_cycles"] = standalone
        document["totals"]["latency_ms"] = 1e3 * standalone / config.clock_hz
        beyond = room_notes(config, [costed.table], "the weights that are fetched")
        document["warnings"] = [*document["warnings"], *config_notes(config), *beyond]
        document["npu"] = costs["npu"]
        document["npu_config"] = npu_document(config)
        document["roofline"] = costs["roofline"]
        alone_s = standalone / config.clock_hz
        document["roofline"]["alone_tops"] = 2e-12 * graph.macs / alone_s if alone_s else 0.0
    return Inspection(graph, document)


def _defaults(source: str) -> dict[str, int]:
    """What a zoo model is bound to unless told otherwise, but for the batch."""
    if not str(source).startswith(ZOO_PREFIX):
        return {}
    known = models.defaults(str(source).removeprefix(ZOO_PREFIX))
    return {name: extent for name, extent in known.items() if name != "batch"}


def layers_csv(document: Mapping[str, Any]) -> str:
    """The layers of an inspection as CSV, one row per layer; lists are joined by '+'."""
    layers = document["layers"]
    columns = list(layers[0]) if layers else ["name"]
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.writerow(columns)
    for layer in layers:
        writer.writerow(
            "+".join(map(str, cell)) if isinstance(cell := layer[key], list) else cell for key in columns
        )
    return text.getvalue()


def zoo_rows() -> list[dict[str, Any]]:
    """Name, MACs and parameters of every zoo model at its default dimensions, batch 1."""
    rows = []
    for name in models.names():
        graph = load_graph(f"zoo:{name}")
        rows.append(
            {
                "name": name,
                "macs": graph.macs,
                "parameters": graph.parameters,
                "dims": dict(models.defaults(name)),
            }
        )
    return rows


def export_zoo_model(name: str, path: Path) -> int:
    """Write a zoo model as an ONNX file and return its size in bytes.

    Raises:
        ModelError: If there is no such model.
        OutputError: If the file cannot be written.
    """
    content = zoo_bytes(name)
    with atomic_write(path) as stream:
        stream.write(content)
    return len(content)
