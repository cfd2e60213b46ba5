"""A profile as documents: what ``layerweaver show`` prints, and its CSV."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.ir.csv_text import CsvWriter
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.profile.profile import Profile, Provenance

__all__ = ["bound_to", "profile_csv", "profile_document"]


def bound_to(stated: Mapping[str, Any]) -> list[str]:
    """What a model was bound to and how it was read, but for the batch size, for headings: ``tokens=16``.

    Args:
        stated: A model of :func:`profile_document`, or ``stated`` of an inspection.
    """
    parts = [f"{name}={extent}" for name, extent in stated["dims"].items() if name != "batch"]
    parts += [f"{name} {'x'.join(map(str, shape)) or 'scalar'}" for name, shape in stated["shapes"].items()]
    parts += [f"{name}={','.join(map(_number, value))}" for name, value in stated["values"].items()]
    parts += [f"{name} {count} times" for name, count in stated["trip_counts"].items()]
    parts += [f"{before} fed by {after}" for before, after in stated["state"] or ()]
    if not stated.get("fuse", True):
        parts.append("not fused")
    if stated["longest_us"] is not None:
        parts.append(f"rows of at most {stated['longest_us']:g} us")
    return parts


def _number(value: float) -> str:
    return str(int(value) if value == int(value) else value)


def _layer_runs(layer_index: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Half-open row ranges of consecutive rows that belong to one layer."""
    starts = [0, *(np.flatnonzero(np.diff(layer_index)) + 1).tolist(), len(layer_index)]
    return pairwise(starts) if len(layer_index) else iter(())


def _layer_rows(profile: ModelProfile) -> list[dict[str, Any]]:
    table = profile.table
    memory_cycles, waited = table.memory_cycles, table.waited_bytes.tolist()
    return [
        {
            "name": table.layer_names[int(table.layer_index[first])],
            "rows": end - first,
            "compute_cycles": int(table.compute_cycles[first:end].sum()),
            "memory_cycles": int(memory_cycles[first:end].sum()),
            "dram_bytes": int(table.dram_bytes[first:end].sum()) - waited[int(table.layer_index[first])],
            "weight_bytes": int(table.weight_bytes[first:end].sum()),
            "remaining_cycles": int(profile.offline.remaining_cycles[first]),
        }
        for first, end in _layer_runs(table.layer_index)
    ]


def _model_document(profile: ModelProfile, provenance: Provenance) -> dict[str, Any]:
    table = profile.table
    return {
        "name": profile.entry,
        "batch": table.batch,
        "kind": str(profile.offline.kind),
        "standalone_cycles": profile.standalone_cycles,
        "compute_cycles": int(table.compute_cycles.sum()),
        "memory_cycles": int(table.memory_cycles.sum()),
        "source": provenance.source,
        "sha256": provenance.sha256,
        "tool_version": provenance.tool_version,
        "dims": dict(provenance.dims),
        "shapes": {name: list(shape) for name, shape in provenance.shapes.items()},
        "values": {name: list(value) for name, value in provenance.values.items()},
        "trip_counts": dict(provenance.trip_counts),
        "state": [list(pair) for pair in provenance.state],
        "longest_us": provenance.longest_us,
        "overrides": provenance.overrides
        and dict(zip(("file", "sha256"), provenance.overrides, strict=True)),
        "layers": _layer_rows(profile),
    }


def profile_document(profile: Profile) -> dict[str, Any]:
    """The document of ``layerweaver show``: the NPU and every entry, layer by layer.

    A layer that was split (it exceeds the weight buffer, or no row may be so long) is shown whole, with the
    number of its ``rows``. ``remaining_cycles`` of an entry's first layer equals its ``standalone_cycles``.
    """
    return {
        "npu": dict(profile.npu),
        "models": [
            _model_document(entry, provenance)
            for entry, provenance in zip(profile.entries, profile.provenance, strict=True)
        ],
        "decoders": [
            {
                "name": decoder.entry,
                "parameters": sum(elements for elements, _ in decoder.rows.parameter_bits),
                "cache_elements_per_token": decoder.rows.cache_elements,
                "source": decoder.origin.source,
                "sha256": decoder.origin.sha256,
                "dims": dict(decoder.origin.dims),
                "layers": list(decoder.rows.layer_names),
            }
            for decoder in profile.decoders
        ],
        "weaves": [
            {
                "members": [{"name": name, "batch": batch} for name, batch in weave.members],
                "policy": weave.policy,
                "prefix_rows": len(weave.prefix),
                "period_rows": len(weave.period),
                "period_cycles": weave.period_cycles,
                "requests_per_period": weave.requests_per_period.tolist(),
            }
            for weave in profile.weaves
        ],
        "warnings": list(profile.warnings),
    }


def profile_csv(profile: Profile) -> str:
    """All layers of all entries as CSV with a header; one line per layer."""
    text = io.StringIO()
    columns = (
        "name",
        "compute_cycles",
        "memory_cycles",
        "dram_bytes",
        "weight_bytes",
        "remaining_cycles",
        "rows",
    )
    writer = CsvWriter(text)
    writer.writerow(("model", "batch", "layer", *columns[1:]))
    for entry in profile.entries:
        for row in _layer_rows(entry):
            writer.writerow((entry.entry, entry.table.batch, *(row[column] for column in columns)))
    return text.getvalue()
