"""The schedule profile: models costed and tabled for one NPU, with where everything came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ProfileError
from layerweaver.ir.spelling import nearest
from layerweaver.scheduler.iterations.rows import IterationRows
from layerweaver.scheduler.offline import ModelProfile, StaticWeave

__all__ = ["DecoderEntry", "Profile", "Provenance"]


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
        values: Values that were stated, by name.
        state: Pairs of graph input and output that were stated to feed back.
        longest_us: The longest row that was allowed; None: any.
        overrides: Name and SHA-256 of the CSV whose measured costs replaced modelled ones; None: none.
    """

    source: str
    sha256: str
    dims: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    trip_counts: Mapping[str, int] = field(default_factory=dict)
    tool_version: str = ""
    warnings: tuple[str, ...] = ()
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    state: tuple[tuple[str, str], ...] = ()
    longest_us: float | None = None
    overrides: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DecoderEntry:
    """A language model, for iterations of any size.

    Attributes:
        entry: Name of the entry.
        rows: Its rows; they know of no NPU.
        origin: Where they came from.
    """

    entry: str
    rows: IterationRows
    origin: Provenance


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Everything that scheduling and simulation need, for one NPU.

    Attributes:
        npu: The NPU config as a JSON-able document that ``layerweaver npu check`` accepts.
        machine: The same NPU as the engine sees it.
        entries: One per (model, batch), in the order compiled.
        provenance: One per entry, in the same order.
        weaves: Static woven schedules of declared groups.
        decoders: Language models.

    Raises:
        ProfileError: If two entries have the same name and batch.
    """

    npu: Mapping[str, Any]
    machine: MachineSpec
    entries: tuple[ModelProfile, ...]
    provenance: tuple[Provenance, ...]
    weaves: tuple[StaticWeave, ...] = ()
    decoders: tuple[DecoderEntry, ...] = ()

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
        names = [*self.names, *(decoder.entry for decoder in self.decoders)]
        for name in names:
            if names.count(name) > 1:
                raise ProfileError(f"entry {name!r} appears twice", accepted="give each model its own NAME=")

    @property
    def names(self) -> tuple[str, ...]:
        """Entry names, each once, in order."""
        return tuple(dict.fromkeys(entry.entry for entry in self.entries))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the importer had to assume, each sentence once, with the entry it is about."""
        names = dict.fromkeys([*self.names, *(decoder.entry for decoder in self.decoders)])
        return tuple(f"{name}: {text}" for name in names for text in self.warnings_of(name))

    def warnings_of(self, name: str) -> tuple[str, ...]:
        """The same of one entry, without its name."""
        origins = [
            *(
                origin
                for entry, origin in zip(self.entries, self.provenance, strict=True)
                if entry.entry == name
            ),
            *(decoder.origin for decoder in self.decoders if decoder.entry == name),
        ]
        return tuple(dict.fromkeys(text for origin in origins for text in origin.warnings))

    def decoder(self, name: str) -> DecoderEntry:
        """The language model of a name.

        Raises:
            ProfileError: If there is no such language model.
        """
        for decoder in self.decoders:
            if decoder.entry == name:
                return decoder
        known = [decoder.entry for decoder in self.decoders]
        if name in self.names:
            raise ProfileError(
                f"entry {name!r} was compiled at fixed sizes, not as a language model",
                accepted=f"compile it with --llm {name}",
            )
        raise ProfileError(
            f"has no language model {name!r}", accepted=nearest(name, known, "it has") if known else ""
        )

    def batches(self, name: str) -> tuple[int, ...]:
        """Batch sizes of an entry, ascending.

        Raises:
            ProfileError: If there is no such entry; the message names the nearest.
        """
        found = sorted(entry.table.batch for entry in self.entries if entry.entry == name)
        if not found and any(decoder.entry == name for decoder in self.decoders):
            raise ProfileError(
                f"entry {name!r} is a language model",
                accepted="give the tenant llm, or compile it without --llm",
            )
        if not found:
            raise ProfileError(f"has no entry {name!r}", accepted=nearest(name, self.names, "it has"))
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
                )
        raise ProfileError(
            f"entry {name!r} was not compiled at batch {batch}",
            accepted=f"it has batch {', '.join(map(str, batches))}",
        )
