"""What a profile's manifest says of it, and the parts of a profile that stand in its manifest alone."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from layerweaver.scheduler.iterations.rows import IterationRows
from layerweaver.scheduler.profile.manifest import (
    BOUND_LATER,
    DECODERS,
    LATENCY,
    VERSION,
    DecoderRecord,
    EntryRecord,
    MachineRecord,
    Manifest,
    WeaveRecord,
)
from layerweaver.scheduler.profile.profile import DecoderEntry, Profile, Provenance

__all__ = ["decoder_of", "manifest_of", "provenance_of"]


def manifest_of(profile: Profile) -> Manifest:
    """The manifest of a profile.

    Raises:
        ValidationError: If the profile is outside what a file may hold.
    """
    late = any(entry.table.latency is not None for entry in profile.entries)
    bound = any(getattr(origin, key) for origin in profile.provenance for key in BOUND_LATER)
    return Manifest(
        npu=dict(profile.npu),
        machine=MachineRecord(**asdict(profile.machine)),
        entries=[
            EntryRecord(
                name=entry.entry,
                batch=entry.table.batch,
                rows=entry.table.rows,
                kind=entry.offline.kind.value,
                longest_fetch_cycles=entry.offline.longest_fetch_cycles,
                layer_names=list(entry.table.layer_names),
                activation_budget_bytes=entry.table.activation_budget_bytes,
                spills=entry.table.spills is not None,
                latency=entry.table.latency is not None,
                energy_pj=entry.table.energy_pj,
                dram_byte_pj=entry.table.dram_byte_pj,
                values={name: list(value) for name, value in origin.values.items()},
                state=list(origin.state),
                longest_us=origin.longest_us,
                overrides=origin.overrides,
                **_origin(origin),
            )
            for entry, origin in zip(profile.entries, profile.provenance, strict=True)
        ],
        weaves=[
            WeaveRecord(
                members=list(weave.members),
                prefix_rows=len(weave.prefix),
                period_rows=len(weave.period),
                period_cycles=weave.period_cycles,
                policy=weave.policy,
            )
            for weave in profile.weaves
        ],
        version=VERSION if bound else LATENCY if late else DECODERS if profile.decoders else 2,
        decoders=[
            DecoderRecord(
                name=decoder.entry,
                layer_names=list(decoder.rows.layer_names),
                row_index=decoder.rows.row_index.tolist(),
                distinct=list(decoder.rows.distinct),
                parameter_bits=list(decoder.rows.parameter_bits),
                cache_elements=decoder.rows.cache_elements,
                longest=decoder.rows.longest,
                ends=decoder.rows.ends,
                notes=list(decoder.rows.notes),
                labels=list(decoder.rows.labels),
                **_origin(decoder.origin),
            )
            for decoder in profile.decoders
        ],
    )


def _origin(origin: Provenance) -> dict[str, Any]:
    return {
        "source": origin.source,
        "sha256": origin.sha256,
        "dims": dict(origin.dims),
        "shapes": {name: list(shape) for name, shape in origin.shapes.items()},
        "trip_counts": dict(origin.trip_counts),
        "tool_version": origin.tool_version,
        "warnings": list(origin.warnings),
    }


def provenance_of(record: EntryRecord | DecoderRecord) -> Provenance:
    """Where a recorded entry came from."""
    origin = Provenance(
        source=record.source,
        sha256=record.sha256,
        dims=record.dims,
        shapes={name: tuple(shape) for name, shape in record.shapes.items()},
        trip_counts=record.trip_counts,
        tool_version=record.tool_version,
        warnings=tuple(record.warnings),
    )
    if isinstance(record, DecoderRecord):
        return origin
    return replace(
        origin,
        values={name: tuple(value) for name, value in record.values.items()},
        state=tuple(record.state),
        longest_us=record.longest_us,
        overrides=record.overrides,
    )


def decoder_of(record: DecoderRecord) -> DecoderEntry:
    """A recorded language model."""
    rows = IterationRows(
        name=record.source,
        layer_names=tuple(record.layer_names),
        distinct=tuple(record.distinct),
        row_index=np.array(record.row_index, np.int64),
        parameter_bits=tuple(record.parameter_bits),
        cache_elements=record.cache_elements,
        longest=record.longest,
        ends=record.ends,
        notes=tuple(record.notes),
        labels=tuple(record.labels),
    )
    return DecoderEntry(record.name, rows, provenance_of(record))
