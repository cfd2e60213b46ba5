"""The ``.lwp`` file: a NumPy container (``.npz`` layout) with a JSON manifest.

Members are stored, not compressed, in a fixed order and with a fixed time stamp, so that the same profile
gives the same bytes and a file can never unpack to more than its own size. Nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from pydantic import ValidationError

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.spills import LatencyColumns, SpillColumns
from layerweaver.costmodel.table import CostTable
from layerweaver.ir import OutputError, ProfileError, atomic_write
from layerweaver.ir.given import PATHS, check_given
from layerweaver.ir.json_text import MAX_VALUES, values_in
from layerweaver.ir.limits import MAX_QUANTITY
from layerweaver.scheduler.offline import ModelProfile, OfflineTables, StaticWeave, fits_rows
from layerweaver.scheduler.profile.container import MANIFEST, MAX_MANIFEST_BYTES, MEND, Container
from layerweaver.scheduler.profile.manifest import BOUND_LATER, EntryRecord, WeaveRecord, complaint
from layerweaver.scheduler.profile.profile import Profile
from layerweaver.scheduler.profile.records import decoder_of, manifest_of, provenance_of

__all__ = [
    "OFFLINE_COLUMNS",
    "SPILL_COLUMNS",
    "TABLE_COLUMNS",
    "load_profile",
    "parse_profile",
    "profile_bytes",
    "save_profile",
]

_TIME = (1980, 1, 1, 0, 0, 0)

TABLE_COLUMNS: Mapping[str, str] = {
    "compute_cycles": "<i8",
    "dram_bytes": "<i8",
    "weight_bytes": "<i8",
    "live_bytes": "<i8",
    "layer_index": "<i8",
}
"""Columns of a cost table, with their element types."""
OFFLINE_COLUMNS: Mapping[str, str] = {"remaining_cycles": "<i8", "inherent_idle_cycles": "<f8"}
"""Columns of the offline tables; ``remaining_cycles`` has one row more."""
SPILL_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(SpillColumns))
"""Columns for costing again at another activation budget, one number per layer, where they are known."""

LATENCY_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(LatencyColumns))
"""What of the traffic stands for the DRAM's latency, one number per layer, where there is any."""


def _members(profile: Profile) -> Iterator[tuple[str, NDArray[Any]]]:
    for index, entry in enumerate(profile.entries):
        for column, kind in TABLE_COLUMNS.items():
            yield f"entries/{index}/{column}.npy", getattr(entry.table, column).astype(kind)
        for column, kind in OFFLINE_COLUMNS.items():
            yield f"entries/{index}/{column}.npy", getattr(entry.offline, column).astype(kind)
        if entry.table.spills is not None:
            for column in SPILL_COLUMNS:
                yield f"entries/{index}/spill_{column}.npy", getattr(entry.table.spills, column).astype("<i8")
        if entry.table.latency is not None:
            for column in LATENCY_COLUMNS:
                name = f"entries/{index}/latency_{column}.npy"
                yield name, getattr(entry.table.latency, column).astype("<i8")
    for index, weave in enumerate(profile.weaves):
        for column in ("prefix", "period", "requests_per_period"):
            yield f"weaves/{index}/{column}.npy", getattr(weave, column).astype("<i8")


def save_profile(profile: Profile, path: Path | str) -> None:
    """Write ``profile`` to ``path``, atomically and reproducibly.

    Raises:
        OutputError: If the file cannot be written.
        ProfileError: If the profile is outside what a file may hold.
    """
    check_given(profile, Profile, ProfileError, "give a profile, such as compile_models makes")
    check_given(path, PATHS, OutputError, "give the path of a .lwp file")
    data = profile_bytes(profile, str(path))
    with atomic_write(Path(path)) as stream:
        stream.write(data)


def profile_bytes(profile: Profile, where: str) -> bytes:
    """What the file of a profile holds.

    Raises:
        ProfileError: If the profile is outside what a file may hold.
    """
    try:
        manifest = manifest_of(profile).model_dump(mode="json")
        for entry in manifest["entries"]:
            for key in ("latency", *BOUND_LATER):
                if not entry[key]:
                    del entry[key]  # older readers do not know the key
    except ValidationError as error:
        raise ProfileError(f"cannot be stored: {complaint(error)}", where=where) from None
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    described = text.encode()
    if len(described) > MAX_MANIFEST_BYTES or values_in(described) > MAX_VALUES:
        raise ProfileError(
            f"cannot be stored: its manifest would have {len(described)} bytes and "
            f"{values_in(described)} values",
            where=where,
            accepted=f"at most {MAX_MANIFEST_BYTES} and {MAX_VALUES}: compile into several profiles",
        )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST, _TIME), described)
        for name, array in _members(profile):
            if array.dtype == np.dtype("<i8"):
                _check_storable(array, name, where)
            member = io.BytesIO()
            npy_format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name, _TIME), member.getvalue())
    return stream.getvalue()


def _check_storable(array: NDArray[Any], name: str, where: str) -> None:
    if array.max(initial=0) > MAX_QUANTITY:
        raise ProfileError(
            f"cannot be stored: {name} has values above 2^45",
            where=where,
            accepted="compile with a smaller batch or smaller shapes",
        )


def _entry(reader: Container, index: int, record: EntryRecord, machine: MachineSpec) -> ModelProfile:
    def stored(name: str, kind: str, rows: int) -> NDArray[Any]:
        return reader.array(f"entries/{index}/{name}.npy", rows, kind)

    layers = len(record.layer_names)
    spills = {name: stored(f"spill_{name}", "<i8", layers) for name in SPILL_COLUMNS if record.spills}
    latency = {name: stored(f"latency_{name}", "<i8", layers) for name in LATENCY_COLUMNS if record.latency}
    columns = {name: stored(name, kind, record.rows) for name, kind in TABLE_COLUMNS.items()}
    table = CostTable(
        model=record.name,
        batch=record.batch,
        machine=machine,
        layer_names=tuple(record.layer_names),
        **columns,
        activation_budget_bytes=record.activation_budget_bytes,
        spills=SpillColumns(**spills) if record.spills else None,
        latency=LatencyColumns(**latency) if record.latency else None,
        energy_pj=record.energy_pj,
        dram_byte_pj=record.dram_byte_pj,
    )
    where = f"entry {record.name!r} at batch {record.batch}"
    steps = np.diff(table.layer_index, prepend=0, append=layers - 1)
    if steps[0] != 0 or steps[-1] != 0 or not np.isin(steps, (0, 1)).all():
        reader.refuse(f"{where} does not give every layer its consecutive rows", MEND)
    if table.spills is not None and table.spills.weight_chunks.min() < 1:
        reader.refuse(f"{where} has weights in no chunk", MEND)
    if table.weight_bytes.max() > machine.weight_buffer_bytes:
        reader.refuse(f"{where} has a row larger than the weight buffer", MEND)
    if (table.weight_bytes > table.dram_bytes).any():
        reader.refuse(f"{where} has a row with more resident weights than traffic", MEND)
    totals = [column.sum(dtype=np.float64) for column in (table.compute_cycles, table.dram_bytes)]
    if max(totals) > MAX_QUANTITY:
        reader.refuse(f"{where} has totals above 2^45", MEND)
    remaining = stored("remaining_cycles", "<i8", record.rows + 1)
    if remaining[-1] != 0 or (np.diff(remaining) > 0).any():
        reader.refuse(f"{where} has remaining times that do not fall to 0", MEND)
    offline = OfflineTables(
        kind=record.model_kind,
        remaining_cycles=remaining,
        longest_fetch_cycles=record.longest_fetch_cycles,
        inherent_idle_cycles=stored("inherent_idle_cycles", "<f8", record.rows),
    )
    if not fits_rows(offline, table):
        reader.refuse(f"{where} has offline tables that are not those of its rows", MEND)
    return ModelProfile(record.name, table, offline)


def _weave(reader: Container, index: int, record: WeaveRecord) -> StaticWeave:
    members = len(record.members)
    prefix = reader.array(f"weaves/{index}/prefix.npy", record.prefix_rows, "<i8")
    period = reader.array(f"weaves/{index}/period.npy", record.period_rows, "<i8")
    if max(prefix.max(initial=0), period.max()) >= members:
        reader.refuse(f"woven group {index} refers to a tenant that it does not have", MEND)
    return StaticWeave(
        members=tuple((name, batch) for name, batch in record.members),
        prefix=prefix,
        period=period,
        period_cycles=record.period_cycles,
        requests_per_period=reader.array(f"weaves/{index}/requests_per_period.npy", members, "<i8"),
        policy=record.policy,
    )


def load_profile(path: Path | str) -> Profile:
    """Read and validate a profile.

    Raises:
        ProfileError: If the file is missing, damaged, of a newer version or not a profile.
    """
    check_given(path, PATHS, ProfileError, "give the path of a .lwp file")
    return _read(Container(Path(path), str(path)))


def parse_profile(data: bytes, where: str) -> Profile:
    """As :func:`load_profile`, of what a file holds."""
    return _read(Container(data, where))


def _read(reader: Container) -> Profile:
    manifest = reader.manifest()
    machine = MachineSpec(**manifest.machine.model_dump())
    expected = {MANIFEST}
    for index, record in enumerate(manifest.entries):
        expected.update(f"entries/{index}/{name}.npy" for name in (*TABLE_COLUMNS, *OFFLINE_COLUMNS))
        expected.update(f"entries/{index}/spill_{name}.npy" for name in SPILL_COLUMNS if record.spills)
        expected.update(f"entries/{index}/latency_{name}.npy" for name in LATENCY_COLUMNS if record.latency)
    for index in range(len(manifest.weaves)):
        expected.update(f"weaves/{index}/{name}.npy" for name in ("prefix", "period", "requests_per_period"))
    if unknown := sorted(name for name in reader.names - expected if not _is_old(name)):
        reader.refuse(f"has an unexpected member {unknown[0][:80]!r}", MEND)
    try:
        return Profile(
            npu=manifest.npu,
            machine=machine,
            entries=tuple(_entry(reader, i, record, machine) for i, record in enumerate(manifest.entries)),
            provenance=tuple(map(provenance_of, manifest.entries)),
            weaves=tuple(_weave(reader, i, record) for i, record in enumerate(manifest.weaves)),
            decoders=tuple(map(decoder_of, manifest.decoders)),
        )
    except ProfileError as error:
        if error.where:
            raise
        reader.refuse(error.what, error.accepted)


def _is_old(name: str) -> bool:
    """Whether a member holds decision tables, which older versions stored."""
    return re.fullmatch(r"decisions/\d{1,3}/tables\.npy", name) is not None
