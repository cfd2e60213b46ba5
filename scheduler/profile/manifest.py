"""The manifest of a profile file: its JSON document, validated before any array is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from layerweaver.costmodel.machine import MAX_BANDWIDTH_DENOMINATOR
from layerweaver.ir.limits import MAX_QUANTITY
from layerweaver.scheduler.iterations.rows import IterationRow, RowLabel, check_row
from layerweaver.scheduler.offline import ModelKind

__all__ = [
    "BOUND_LATER",
    "DECODERS",
    "FORMAT",
    "LATENCY",
    "MAX_LAYERS",
    "VERSION",
    "DecoderRecord",
    "EntryRecord",
    "MachineRecord",
    "Manifest",
    "WeaveRecord",
    "complaint",
]

FORMAT = "layerweaver-profile"
DECODERS: Final = 6
"""What is written where there are decoders and no latency."""
LATENCY: Final = 7
"""What is written where there is latency, and nothing of :data:`BOUND_LATER`."""
VERSION: Final = 8
"""Version 2 had decision tables, which are left out when such a file is read; 3 added decoders, 4 the labels
of their rows, 5 what these join in place and all their operators, 6 windows and longest contexts, 7 what
of the traffic is latency, 8 :data:`BOUND_LATER`."""
BOUND_LATER: Final = ("values", "state", "longest_us", "overrides")
"""What an entry was compiled with that older readers do not know: written only where it was stated."""
MAX_LAYERS = 1_000_000
"""Of all entries together."""

Text = Annotated[str, Field(max_length=4096)]
Positive = Annotated[int, Field(ge=1, le=MAX_QUANTITY)]
Count = Annotated[int, Field(ge=0, le=MAX_QUANTITY)]
Bits = Annotated[int, Field(ge=1, le=64)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class MachineRecord(_Record):
    """Fields of :class:`~layerweaver.costmodel.machine.MachineSpec`."""

    name: Text
    clock_hz: Positive
    bandwidth_numerator: Positive
    bandwidth_denominator: Annotated[int, Field(ge=1, le=MAX_BANDWIDTH_DENOMINATOR)]
    weight_buffer_bytes: Positive
    activation_buffer_bytes: Annotated[int, Field(ge=0, le=MAX_QUANTITY)] | None = None


class _OriginRecord(_Record):
    """Fields of :class:`~layerweaver.scheduler.profile.profile.Provenance`, and the entry's name."""

    name: Annotated[str, Field(min_length=1, max_length=4096)]
    source: Text
    sha256: Annotated[str, Field(pattern=r"^(|[0-9a-f]{64})$")]
    dims: dict[Text, Count]
    shapes: dict[Text, Annotated[list[Count], Field(max_length=64)]]
    trip_counts: dict[Text, Count]
    tool_version: Text
    warnings: Annotated[list[Text], Field(max_length=MAX_LAYERS)] = []


class EntryRecord(_OriginRecord):
    """One (model, batch): what is not an array, and the source it came from."""

    batch: Annotated[int, Field(ge=1, le=2**31)]
    rows: Annotated[int, Field(ge=1, le=MAX_LAYERS)]
    kind: Literal["compute-intensive", "memory-intensive"]
    longest_fetch_cycles: Count
    layer_names: Annotated[list[Text], Field(min_length=1, max_length=MAX_LAYERS)]
    activation_budget_bytes: Count | None
    spills: bool
    latency: bool = False
    energy_pj: Annotated[int, Field(ge=0, le=2**62)] | None
    dram_byte_pj: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    values: dict[Text, Annotated[list[bool | Finite], Field(max_length=MAX_LAYERS)]] = {}
    state: Annotated[list[tuple[Text, Text]], Field(max_length=MAX_LAYERS)] = []
    longest_us: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    overrides: tuple[Text, Hash] | None = None

    @property
    def model_kind(self) -> ModelKind:
        """The kind as the scheduler's own type."""
        return ModelKind(self.kind)


class WeaveRecord(_Record):
    """One static woven schedule."""

    members: Annotated[list[tuple[Text, Positive]], Field(min_length=1, max_length=1024)]
    prefix_rows: Annotated[int, Field(ge=0, le=2**26)]
    period_rows: Annotated[int, Field(ge=1, le=2**26)]
    period_cycles: Positive
    policy: Text


class DecoderRecord(_OriginRecord):
    """Fields of :class:`~layerweaver.scheduler.iterations.rows.IterationRows`, and the source of it all."""

    layer_names: Annotated[list[Text], Field(min_length=1, max_length=MAX_LAYERS)]
    row_index: Annotated[list[Count], Field(min_length=1, max_length=MAX_LAYERS)]
    distinct: Annotated[
        list[Annotated[tuple[IterationRow, ...], Field(min_length=2, max_length=4)]],
        Field(min_length=1, max_length=10_000),
    ]
    parameter_bits: Annotated[list[tuple[Count, Bits]], Field(max_length=64)]
    cache_elements: Positive
    longest: Count = 0
    ends: bool = False
    notes: Annotated[list[Text], Field(max_length=1024)]
    labels: Annotated[list[RowLabel], Field(max_length=MAX_LAYERS)] = []

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for pair in self.distinct:
            for row in pair:
                check_row(row)
        if {len(kinds) for kinds in self.distinct} not in ({2}, {4}):
            raise ValueError("rows for other kinds of iterations")
        if len(self.row_index) != len(self.layer_names) or max(self.row_index) >= len(self.distinct):
            raise ValueError("rows that are not its layers")
        if self.labels and len(self.labels) != len(self.layer_names):
            raise ValueError("labels that are not those of its layers")
        for label, index in zip(self.labels, self.row_index, strict=False):
            works = [len(row.vector) for row in self.distinct[index][:2]]
            if works != [len(label.operators), len(label.single_operators)]:
                raise ValueError("labels that are not those of its rows")
        return self


class Manifest(_Record):
    """The whole document; ``decisions`` is what older versions had, and is read to be left out."""

    format: Literal["layerweaver-profile"] = "layerweaver-profile"
    version: Literal[1, 2, 3, 4, 5, 6, 7, 8] = 2
    npu: dict[str, JsonValue]
    machine: MachineRecord
    entries: Annotated[list[EntryRecord], Field(max_length=4096)]
    weaves: Annotated[list[WeaveRecord], Field(max_length=256)] = []
    decoders: Annotated[list[DecoderRecord], Field(max_length=256)] = []
    decisions: Annotated[list[JsonValue], Field(max_length=256, exclude=True)] = []

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if not isinstance(self.npu.get("name"), str):
            raise ValueError("the NPU has no name")
        layers = sum(len(entry.layer_names) for entry in self.entries)
        layers += sum(len(decoder.layer_names) for decoder in self.decoders)
        if layers > MAX_LAYERS:
            raise ValueError(f"{layers} layers in all; at most {MAX_LAYERS} are accepted")
        known = {(entry.name, entry.batch) for entry in self.entries}
        groups = [weave.members for weave in self.weaves]
        for members in groups:
            for member in members:
                if tuple(member) not in known:
                    raise ValueError(f"a woven group names {member[0]!r} at batch {member[1]}, not an entry")
        return self


def _place(location: Iterable[Any]) -> str:
    return ".".join(str(part) for part in location) or "manifest"


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong, in one line, with its place."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{_place(first['loc'])}: {first['msg'][:200]}"
