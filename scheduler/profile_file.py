"""The ``.lwp`` file: a NumPy container (``.npz`` layout) with a JSON manifest.

Members are stored, not compressed, in a fixed order and with a fixed time stamp, so that the same profile
gives the same bytes and a file can never unpack to more than its own size. Nothing is unpickled.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from pydantic import ValidationError

from layerweaver.costmodel.table import CostTable, MachineSpec
from layerweaver.ir import ProfileError, atomic_write
from layerweaver.scheduler.offline import ModelProfile, OfflineTables
from layerweaver.scheduler.profile import Profile, Provenance, StaticWeave
from layerweaver.scheduler.profile_manifest import (
    FORMAT,
    MAX_QUANTITY,
    VERSION,
    EntryRecord,
    MachineRecord,
    Manifest,
    WeaveRecord,
    complaint,
)

__all__ = ["MAX_FILE_BYTES", "OFFLINE_COLUMNS", "TABLE_COLUMNS", "load_profile", "save_profile"]

MAX_FILE_BYTES = 2**30
MAX_MEMBERS = 100_000
_TIME = (1980, 1, 1, 0, 0, 0)
_MANIFEST = "manifest.json"

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
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    KeyError,
    struct.error,
)
_MEND = "compile it again with `layerweaver compile`"


def _manifest(profile: Profile) -> Manifest:
    machine = profile.machine
    return Manifest(
        npu=dict(profile.npu),
        machine=MachineRecord(
            name=machine.name,
            clock_hz=machine.clock_hz,
            bandwidth_numerator=machine.bandwidth_numerator,
            bandwidth_denominator=machine.bandwidth_denominator,
            weight_buffer_bytes=machine.weight_buffer_bytes,
            activation_buffer_bytes=machine.activation_buffer_bytes,
        ),
        entries=[
            EntryRecord(
                name=entry.entry,
                batch=entry.table.batch,
                rows=entry.table.rows,
                kind=entry.offline.kind.value,
                longest_fetch_cycles=entry.offline.longest_fetch_cycles,
                layer_names=list(entry.table.layer_names),
                source=origin.source,
                sha256=origin.sha256,
                dims=dict(origin.dims),
                shapes={name: list(shape) for name, shape in origin.shapes.items()},
                trip_counts=dict(origin.trip_counts),
                tool_version=origin.tool_version,
                warnings=list(origin.warnings),
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
    )


def _members(profile: Profile) -> Iterator[tuple[str, NDArray[Any]]]:
    for index, entry in enumerate(profile.entries):
        for column, kind in TABLE_COLUMNS.items():
            yield f"entries/{index}/{column}.npy", getattr(entry.table, column).astype(kind)
        for column, kind in OFFLINE_COLUMNS.items():
            yield f"entries/{index}/{column}.npy", getattr(entry.offline, column).astype(kind)
    for index, weave in enumerate(profile.weaves):
        for column in ("prefix", "period", "requests_per_period"):
            yield f"weaves/{index}/{column}.npy", getattr(weave, column).astype("<i8")


def save_profile(profile: Profile, path: Path | str) -> None:
    """Write ``profile`` to ``path``, atomically and reproducibly.

    Raises:
        OutputError: If the file cannot be written.
        ProfileError: If the profile is outside what a file may hold.
    """
    try:
        manifest = _manifest(profile).model_dump(mode="json")
    except ValidationError as error:
        raise ProfileError(f"cannot be stored: {complaint(error)}", where=str(path)) from None
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with atomic_write(Path(path)) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_MANIFEST, _TIME), text.encode())
        for name, array in _members(profile):
            member = io.BytesIO()
            npy_format.write_array(member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name, _TIME), member.getvalue())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


class _Reader:
    """An opened profile, with the names of its members checked."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        data = self._bytes(path)
        if not data.startswith(b"PK"):
            self.refuse("is not a schedule profile", "give a file written by `layerweaver compile`")
        try:
            self._archive = zipfile.ZipFile(io.BytesIO(data))
            infos = self._archive.infolist()
        except _UNREADABLE:
            self.refuse("is damaged or cut off", _MEND)
        if len(infos) > MAX_MEMBERS or len({info.filename for info in infos}) != len(infos):
            self.refuse("has too many or repeated members", _MEND)
        for info in infos:
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data):
                self.refuse(f"member {info.filename[:80]!r} is compressed or larger than the file", _MEND)
        self.names = {info.filename for info in infos}

    def _bytes(self, path: Path) -> bytes:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                self.refuse(f"is larger than {MAX_FILE_BYTES} bytes", "split it into several profiles")
            return path.read_bytes()
        except FileNotFoundError:
            self.refuse("no such file", "give the path of a .lwp file")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "unusable path"
            self.refuse(f"cannot be read ({reason})", "give the path of a .lwp file")

    def refuse(self, what: str, accepted: str = "") -> NoReturn:
        """Raise the one error that every fault of a profile gives."""
        raise ProfileError(what, where=self.where, accepted=accepted)

    def manifest(self) -> Manifest:
        """The validated manifest; format and version are judged before the rest."""
        if _MANIFEST not in self.names:
            self.refuse("is not a schedule profile", "give a file written by `layerweaver compile`")
        try:
            document = json.loads(self._archive.read(_MANIFEST).decode(), parse_constant=_refuse_constant)
        except (*_UNREADABLE, RecursionError):
            self.refuse("its manifest is damaged", _MEND)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            self.refuse("is not a schedule profile", "give a file written by `layerweaver compile`")
        version = document.get("version")
        if isinstance(version, int) and version > VERSION:
            self.refuse(
                f"is of version {str(version)[:20]}, newer than this tool understands",
                f"use a newer layerweaver, or compile it again as version {VERSION}",
            )
        try:
            return Manifest.model_validate_json(json.dumps(document))
        except (ValidationError, RecursionError, ValueError) as error:
            detail = complaint(error) if isinstance(error, ValidationError) else "unusable"
            self.refuse(f"its manifest is wrong at {detail}", _MEND)

    def array(self, name: str, rows: int, kind: str) -> NDArray[Any]:
        """A one-dimensional array of ``rows`` elements of element type ``kind``, not negative, finite."""
        if name not in self.names:
            self.refuse(f"lacks {name}", _MEND)
        try:
            member = io.BytesIO(self._archive.read(name))
            if npy_format.read_magic(member) != (1, 0):
                self.refuse(f"{name} is not a version 1.0 array", _MEND)
            shape, _, dtype = npy_format.read_array_header_1_0(member)
            body = member.read()
        except _UNREADABLE:
            self.refuse(f"{name} is damaged", _MEND)
        if dtype != np.dtype(kind) or shape != (rows,) or len(body) != rows * 8:
            self.refuse(f"{name} is not {rows} numbers of type {kind}", _MEND)
        values = np.frombuffer(body, dtype=kind).astype(np.dtype(kind).newbyteorder("="))
        if len(values) and not (
            np.isfinite(values).all() and values.min() >= 0 and values.max() <= MAX_QUANTITY
        ):
            self.refuse(f"{name} has values outside 0..2^45", _MEND)
        return values


def _entry(reader: _Reader, index: int, record: EntryRecord, machine: MachineSpec) -> ModelProfile:
    def stored(name: str, kind: str, rows: int) -> NDArray[Any]:
        return reader.array(f"entries/{index}/{name}.npy", rows, kind)

    table = CostTable(
        model=record.name,
        batch=record.batch,
        machine=machine,
        layer_names=tuple(record.layer_names),
        **{name: stored(name, kind, record.rows) for name, kind in TABLE_COLUMNS.items()},
    )
    where = f"entry {record.name!r} at batch {record.batch}"
    if table.layer_index.max() >= len(table.layer_names):
        reader.refuse(f"{where} refers to a layer that has no name", _MEND)
    if table.weight_bytes.max() > machine.weight_buffer_bytes:
        reader.refuse(f"{where} has a row larger than the weight buffer", _MEND)
    if (
        max(column.sum(dtype=np.float64) for column in (table.compute_cycles, table.dram_bytes))
        > MAX_QUANTITY
    ):
        reader.refuse(f"{where} has totals above 2^45", _MEND)
    remaining = stored("remaining_cycles", "<i8", record.rows + 1)
    if remaining[-1] != 0 or (np.diff(remaining) > 0).any():
        reader.refuse(f"{where} has remaining times that do not fall to 0", _MEND)
    offline = OfflineTables(
        kind=record.model_kind,
        remaining_cycles=remaining,
        longest_fetch_cycles=record.longest_fetch_cycles,
        inherent_idle_cycles=stored("inherent_idle_cycles", "<f8", record.rows),
    )
    return ModelProfile(record.name, table, offline)


def _weave(reader: _Reader, index: int, record: WeaveRecord) -> StaticWeave:
    members = len(record.members)
    prefix = reader.array(f"weaves/{index}/prefix.npy", record.prefix_rows, "<i8")
    period = reader.array(f"weaves/{index}/period.npy", record.period_rows, "<i8")
    if max(prefix.max(initial=0), period.max()) >= members:
        reader.refuse(f"woven group {index} refers to a tenant that it does not have", _MEND)
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
    reader = _Reader(Path(path))
    manifest = reader.manifest()
    machine = MachineSpec(**manifest.machine.model_dump())
    expected = {_MANIFEST}
    for index in range(len(manifest.entries)):
        expected.update(f"entries/{index}/{name}.npy" for name in (*TABLE_COLUMNS, *OFFLINE_COLUMNS))
    for index in range(len(manifest.weaves)):
        expected.update(f"weaves/{index}/{name}.npy" for name in ("prefix", "period", "requests_per_period"))
    if unknown := sorted(reader.names - expected):
        reader.refuse(f"has an unexpected member {unknown[0][:80]!r}", _MEND)
    provenance = tuple(
        Provenance(
            source=record.source,
            sha256=record.sha256,
            dims=record.dims,
            shapes={name: tuple(shape) for name, shape in record.shapes.items()},
            trip_counts=record.trip_counts,
            tool_version=record.tool_version,
            warnings=tuple(record.warnings),
        )
        for record in manifest.entries
    )
    try:
        return Profile(
            npu=manifest.npu,
            machine=machine,
            entries=tuple(_entry(reader, i, record, machine) for i, record in enumerate(manifest.entries)),
            provenance=provenance,
            weaves=tuple(_weave(reader, i, record) for i, record in enumerate(manifest.weaves)),
        )
    except ProfileError as error:
        if error.where:
            raise
        reader.refuse(error.what, error.accepted)
