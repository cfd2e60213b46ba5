"""The schedule profile: models costed and tabled for one NPU, with where everything came from."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.costmodel.table import MachineSpec
from layerweaver.ir import ProfileError
from layerweaver.scheduler.offline import DecisionTables, ModelProfile, StaticWeave

__all__ = [
    "DecisionTables",
    "Profile",
    "Provenance",
    "StaticWeave",
    "load_profile",
    "profile_csv",
    "profile_document",
    "save_profile",
]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an entry came from.

    Attributes:
        source: File name (without its folder, so that moved files give the same profile) or zoo name.
        sha256: Hash of the model file's bytes, in hexadecimal.
        dims: Symbolic dimensions that were bound, by name.
        shapes: Input shapes that were bound, by input name.
        trip_counts: Loop trip counts that were given, by node name.
        tool_version: Version of the tool that compiled the entry.
        warnings: What the importer had to assume, one sentence each.
    """

    source: str
    sha256: str
    dims: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    trip_counts: Mapping[str, int] = field(default_factory=dict)
    tool_version: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Everything that scheduling and simulation need, for one NPU.

    Attributes:
        npu: The NPU config as a JSON-able document that ``layerweaver npu check`` accepts.
        machine: The same NPU as the engine sees it.
        entries: One per (model, batch), in the order compiled.
        provenance: One per entry, in the same order.
        weaves: Static woven schedules of declared groups.
        decisions: Decision tables of declared groups.

    Raises:
        ProfileError: If two entries have the same name and batch.
    """

    npu: Mapping[str, Any]
    machine: MachineSpec
    entries: tuple[ModelProfile, ...]
    provenance: tuple[Provenance, ...]
    weaves: tuple[StaticWeave, ...] = ()
    decisions: tuple[DecisionTables, ...] = ()

    def __post_init__(self) -> None:
        if len(self.entries) != len(self.provenance):
            raise ProfileError(f"{len(self.entries)} entries but {len(self.provenance)} provenance records")
        seen: set[tuple[str, int]] = set()
        for entry in self.entries:
            key = (entry.entry, entry.table.batch)
            if key in seen:
                raise ProfileError(
                    f"entry {entry.entry!r} at batch {entry.table.batch} appears twice",
                    accepted="give each model its own NAME=",
                )
            seen.add(key)

    @property
    def names(self) -> tuple[str, ...]:
        """Entry names, each once, in order."""
        return tuple(dict.fromkeys(entry.entry for entry in self.entries))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the importer had to assume, each sentence once, with the entry it is about."""
        return tuple(
            dict.fromkeys(
                f"{entry.entry}: {warning}"
                for entry, origin in zip(self.entries, self.provenance, strict=True)
                for warning in origin.warnings
            )
        )

    def batches(self, name: str) -> tuple[int, ...]:
        """Batch sizes of an entry, ascending.

        Raises:
            ProfileError: If there is no such entry; the message names the nearest.
        """
        found = sorted(entry.table.batch for entry in self.entries if entry.entry == name)
        if not found:
            near = difflib.get_close_matches(name, self.names, n=3, cutoff=0.3) or list(self.names[:8])
            raise ProfileError(f"has no entry {name!r}", accepted=f"it has {', '.join(near) or 'no entries'}")
        return tuple(found)

    def find(self, name: str, batch: int = 1) -> ModelProfile:
        """The entry of a model at a batch size, with what is stored of the groups that it belongs to.

        Raises:
            ProfileError: If there is no such entry or it was not compiled at that batch size.
        """
        batches = self.batches(name)
        for entry in self.entries:
            if entry.entry == name and entry.table.batch == batch:
                return replace(
                    entry,
                    weaves=tuple(weave for weave in self.weaves if (name, batch) in weave.members),
                    decisions=tuple(item for item in self.decisions if (name, batch) in item.members),
                )
        raise ProfileError(
            f"entry {name!r} was not compiled at batch {batch}",
            accepted=f"it has batch {', '.join(map(str, batches))}",
        )


def _layer_runs(layer_index: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Half-open row ranges of consecutive rows that belong to one layer."""
    starts = [0, *(np.flatnonzero(np.diff(layer_index)) + 1).tolist(), len(layer_index)]
    return pairwise(starts) if len(layer_index) else iter(())


def _layer_rows(profile: ModelProfile) -> list[dict[str, Any]]:
    table = profile.table
    memory_cycles = table.memory_cycles
    return [
        {
            "name": table.layer_names[int(table.layer_index[first])],
            "compute_cycles": int(table.compute_cycles[first:end].sum()),
            "memory_cycles": int(memory_cycles[first:end].sum()),
            "dram_bytes": int(table.dram_bytes[first:end].sum()),
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
        "dims": dict(provenance.dims),
        "shapes": {name: list(shape) for name, shape in provenance.shapes.items()},
        "layers": _layer_rows(profile),
    }


def profile_document(profile: Profile) -> dict[str, Any]:
    """The document of ``layerweaver show``: the NPU and every entry, layer by layer.

    A layer that was split because it exceeds the weight buffer is shown whole. ``remaining_cycles`` of an
    entry's first layer equals its ``standalone_cycles``.
    """
    return {
        "npu": dict(profile.npu),
        "models": [
            _model_document(entry, provenance)
            for entry, provenance in zip(profile.entries, profile.provenance, strict=True)
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
        "decision_tables": [
            {
                "members": [{"name": name, "batch": batch} for name, batch in item.members],
                "bytes": item.tables.nbytes,
            }
            for item in profile.decisions
        ],
    }


def profile_csv(profile: Profile) -> str:
    """All layers of all entries as CSV with a header; one line per layer."""
    text = io.StringIO()
    columns = ("name", "compute_cycles", "memory_cycles", "dram_bytes", "weight_bytes", "remaining_cycles")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("model", "batch", "layer", *columns[1:]))
    for entry in profile.entries:
        for row in _layer_rows(entry):
            writer.writerow((entry.entry, entry.table.batch, *(row[column] for column in columns)))
    return text.getvalue()


def save_profile(profile: Profile, path: Path | str) -> None:
    """Write a profile; the same profile always gives the same bytes.

    Raises:
        OutputError: If the file cannot be written (an existing one stays).
    """
    from layerweaver.scheduler import profile_file  # noqa: PLC0415 - loads pydantic

    profile_file.save_profile(profile, path)


def load_profile(path: Path | str) -> Profile:
    """Read and validate a profile.

    Raises:
        ProfileError: If the file is missing, damaged, of a newer version or not a profile.
    """
    from layerweaver.scheduler import profile_file  # noqa: PLC0415 - loads pydantic

    return profile_file.load_profile(path)
