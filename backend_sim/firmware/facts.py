"""What a scenario says once and for all: tables, constants, and where the fields of records are in C.

Nothing is kept in the state that a table or a constant gives: a column with one value for all is a constant,
and fields of a head that follow from its row, its batch or its tenant are looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.layout import build_state
from layerweaver.backend_sim.firmware.spans import INT32, INT64, Number, Span, constant, storage_type
from layerweaver.backend_sim.firmware.things import Listed, Pointed
from layerweaver.ir import PolicyError
from layerweaver.scheduler.machine.timelines import COUNT_LIMIT, NEVER
from layerweaver.scheduler.policies.contract import Policy

__all__ = ["Column", "Facts"]

_TIME = Span(0, NEVER)
_MANY = Span(0, 2**31 - 1)
_BYTES = Span(0, 2 * COUNT_LIMIT)
_POSITION = Span(0, 2**31 - 2)

ROW, BATCH, TENANT = "row", "profile", "tenant"
"""By what a column is looked up."""

_UNITS = {
    "compute_cycles": "cycles on the compute engine",
    "fetch_cycles": "cycles of the fetch without stalls",
    "weight_bytes": "bytes that become resident in the weight buffer",
    "dram_bytes": "bytes of DRAM traffic",
    "remaining_cycles": "cycles that the batch takes alone from this row on",
    "live_bytes": "bytes of activations alive while the row runs",
    "first_row": "index of the first row",
    "rows": "number of rows",
    "batch_size": "requests",
    "standalone_cycles": "cycles of a whole batch alone",
    "compute_intensive": "1 if compute takes longer than fetches, else 0",
    "longest_fetch_cycles": "cycles of the longest fetch of any row",
    "model_compute_cycles": "compute cycles of all rows",
    "model_fetch_cycles": "fetch cycles of all rows, without stalls",
    "first_profile": "index of the profile of the smallest batch",
    "largest_batch": "requests",
    "queue_limit": "requests that may wait",
    "limit_cycles": "cycles from arrival to deadline",
    "delay_cycles": "cycles for which the oldest request waits for company",
    "priority": "1, 3 or 9",
    "full": "requests of the largest batch that fits the deadline",
    "full_standalone_cycles": "cycles of such a batch alone",
    "full_compute_cycles": "compute cycles of such a batch",
    "full_fetch_cycles": "fetch cycles of such a batch",
    "drops": "1 to drop requests that cannot be in time, else 0",
    "defers": "1 to serve requests that cannot be in time after the others, else 0",
}


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A constant array: of every row, of every (model, batch), or of every tenant.

    Attributes:
        name: Its name, with the unit; ``lw_`` stands before it in C.
        of: By what it is looked up: :data:`ROW`, :data:`BATCH` or :data:`TENANT`.
        values: Its entries.
    """

    name: str
    of: str
    values: NDArray[np.int64]

    @property
    def span(self) -> Span:
        """Between which bounds its entries lie."""
        return Span(int(self.values.min()), int(self.values.max()))

    @property
    def type(self) -> str:
        """The smallest C type that holds them."""
        return storage_type(self.span)

    @property
    def unit(self) -> str:
        """What its entries are, in words."""
        return _UNITS.get(self.name, "prepared by the policy")

    def at(self, index: str) -> Number:
        """One entry; a constant where all are the same."""
        return reading(f"lw_{self.name}[{index}]", self.span)


def reading(text: str, span: Span) -> Number:
    """What is stored in the smallest type that holds a span, as it is computed with."""
    if span.low == span.high:
        return constant(span.low)
    kind = storage_type(span)
    return Number(f"(int64_t){text}" if kind == "uint32_t" else text, span, wide=not INT32.holds(span))


class Facts:
    """The facts of one scenario under one policy; a :class:`~layerweaver.backend_sim.firmware.things.Layout`.

    Args:
        given: NPU and tenants as the engine gets them.
        policy: The policy.
        ring: Entries that the list of fetches can hold, a power of two.

    Raises:
        LayerweaverError: If the engine would refuse it.
    """

    def __init__(self, given: SimulationInput, policy: Policy, ring: int) -> None:
        state: Any = build_state(given, policy, None, 0, True)
        machine, heads, queues = state.visible.machine, state.visible.heads, state.tenants
        self.tenants, self.ring = len(queues), ring
        self.rate, self.scale = int(machine.rate), int(machine.scale)
        self.buffer_scaled, self.clock_hz = int(machine.buffer_scaled), int(machine.clock_hz)
        self.one_kind, self.decision_cycles = int(machine.one_kind), int(machine.decision_cycles)
        self.dispatch_ahead, self.reach_cycles = given.dispatch_ahead, int(state.totals.reach_cycles)
        self.columns = _columns(state, heads, queues)
        self.options = _constants(policy.record(self.clock_hz))
        memory = policy.memory([tenant.profiles for tenant in given.tenants], given.groups)
        kept = {"own": memory.tenants.dtype, "common": memory.common.dtype}
        self.own = {record: _fields(kind, np.integer) for record, kind in kept.items()}
        self.floating = {record: _fields(kind, np.floating) for record, kind in kept.items()}
        self.prepared = _prepared(policy, memory.tables)
        self.defers, self.drops = self.columns["defers"].span, self.columns["drops"].span
        self._mutable = self._machine_spans()

    @property
    def batches(self) -> Span:
        """Requests of one batch."""
        return Span(1, self.columns["largest_batch"].span.high)

    def _machine_spans(self) -> dict[str, Span]:
        longest = self.columns["longest_fetch_cycles"].span.high
        return {
            **dict.fromkeys(("now", "start", "fetch_end", "compute_end", "origin", "hold_until"), _TIME),
            "free_scaled": Span(0, self.buffer_scaled),
            "room_scaled": INT64,
            "longest_fetch_cycles": Span(0, longest),
            "ready_count": Span(0, self.tenants),
            "running": Span(-1, self.tenants - 1),
            "mode": Span(0, 255),
            "queued": _MANY,
            **dict.fromkeys(("first", "last", "window_first", "window_last"), _POSITION),
            "appended_scaled": _BYTES,
        }

    def machine_fields(self) -> dict[str, Span]:
        """What of the machine is kept in the state."""
        return self._mutable

    def fetch_fields(self) -> dict[str, Span]:
        """What is kept of every fetch."""
        return {"before_scaled": _BYTES, "done": _TIME, "key": INT64, "window": _POSITION}

    def head_fields(self) -> dict[str, Span]:
        """What can be kept of every head."""
        columns = self.columns
        return {
            "latest_start": Span(-NEVER, NEVER),
            **dict.fromkeys(("deadline", "arrival", "since", "last_start", "newest"), _TIME),
            "arrived": Span(0, 2**40),
            **dict.fromkeys(("served_compute_cycles", "served_fetch_cycles"), _TIME),
            "left_compute_cycles": Span(0, columns["model_compute_cycles"].span.high),
            "left_fetch_cycles": Span(0, columns["model_fetch_cycles"].span.high),
            "compute_cycles": columns["compute_cycles"].span,
            "fetch_cycles": columns["fetch_cycles"].span,
            "weight_scaled": _times(columns["weight_bytes"].span, self.scale),
            "queued": _MANY,
            "passed": _MANY if self.defers.high else Span(0, 0),
            "request": Span(0, 2**32 - 1),
            "rows_left": Span(0, columns["rows"].span.high),
            "place": Span(0, len(columns["compute_cycles"].values) - 1),
            "profile": Span(0, len(columns["batch_size"].values) - 1),
            "batch": self.batches,
            "tenant": Span(0, self.tenants - 1),
            "hopeless": Span(0, self.defers.high),
            "started": Span(0, 1),
            "changed": Span(0, 1),
        }

    def constants(self) -> dict[str, int]:
        """What of the machine never changes."""
        return {
            "rate": self.rate,
            "scale": self.scale,
            "buffer_scaled": self.buffer_scaled,
            "tenant_count": self.tenants,
            "one_kind": self.one_kind,
            "decision_cycles": self.decision_cycles,
            "clock_hz": self.clock_hz,
        }

    def read(self, record: Pointed, field: str) -> Number | None:
        """The expression of a field; None if there is no such field."""
        text = record.text + field
        match record.record:
            case "machine":
                if field == "mask":
                    return Number("LW_MASK", _MANY)
                if field in self.constants():
                    return constant(self.constants()[field])
                return reading(text, self._mutable[field]) if field in self._mutable else None
            case "fetch":
                fields = self.fetch_fields()
                return reading(text, fields[field]) if field in fields else None
            case "options":
                value = self.options.get(field)
                return None if value is None else constant(value)
            case "own" | "common":
                return Number(text, INT64, wide=True) if field in self.own[record.record] else None
        return self._of_head(record.text, field)

    def _of_head(self, head: str, field: str) -> Number | None:
        looked_up, kept = _LOOKED_UP.get(field), self.head_fields().get(field)
        if looked_up is not None:
            column, key = self.columns[looked_up[0]], f"{head}{_KEYS[looked_up[1]]}"
            return column.at(key)
        if field == "dram_scaled":
            column = self.columns["dram_bytes"]
            return _scaled(column.at(f"{head}place"), self.scale)
        if field == "compute_scaled":
            return _scaled(reading(f"{head}compute_cycles", self.columns["compute_cycles"].span), self.rate)
        if field == "inherent_scaled":
            return self._inherent(head)
        if field == "row":
            first = self.columns["first_row"].at(f"{head}profile")
            span = Span(0, self.columns["rows"].span.high - 1)
            return Number(f"((int32_t){head}place - (int32_t){first.text})", span)
        if field in ("place", "tenant", "started", "changed") or kept is None:
            return None
        return reading(head + field, kept)

    def _inherent(self, head: str) -> Number:
        inherent = self.columns["inherent_scaled"].span
        if inherent.low == inherent.high:
            return constant(inherent.low)
        compute = _scaled(reading(f"{head}compute_cycles", self.columns["compute_cycles"].span), self.rate)
        weight = reading(f"{head}weight_scaled", self.head_fields()["weight_scaled"])
        text = f"lw_most_64(0, {compute.as_type(True)} - ({self.buffer_scaled} - {weight.as_type(True)}))"
        return Number(text, inherent, wide=True)

    def write(self, record: Pointed, field: str) -> tuple[str, str] | None:
        """Where a field is stored, and its C type; None if it cannot be written."""
        text = record.text + field
        match record.record:
            case "own" | "common" if field in self.own[record.record]:
                return text, "int64_t"
            case "machine" if field in self._mutable:
                return text, storage_type(self._mutable[field])
            case "fetch" if field in self.fetch_fields():
                return text, storage_type(self.fetch_fields()[field])
        return None

    def is_floating(self, record: Pointed, field: str) -> bool:
        """Whether there is such a field, and it is floating point."""
        if record.record == "options":
            return field in self.options and self.options[field] is None
        return field in self.floating.get(record.record, ())

    def table(self, field: str) -> tuple[Listed, Number] | None:
        """A table that the policy prepared, and what its entries are."""
        column = self.prepared.get(field)
        if column is None:
            return None
        return Listed("table", field), Number(
            f"lw_{column.name}", column.span, wide=not INT32.holds(column.span)
        )


_KEYS = {ROW: "place", BATCH: "profile", TENANT: "tenant"}
_LOOKED_UP = {
    "remaining_cycles": ("remaining_cycles", ROW),
    "live_bytes": ("live_bytes", ROW),
    "compute_intensive": ("compute_intensive", BATCH),
    "longest_fetch_cycles": ("longest_fetch_cycles", BATCH),
    "standalone_cycles": ("standalone_cycles", BATCH),
    "model_compute_cycles": ("model_compute_cycles", BATCH),
    "model_fetch_cycles": ("model_fetch_cycles", BATCH),
    **{
        name: (name, TENANT)
        for name in (
            "queue_limit",
            "limit_cycles",
            "delay_cycles",
            "priority",
            "full",
            "full_standalone_cycles",
            "full_compute_cycles",
            "full_fetch_cycles",
        )
    },
}
"""Fields of a head that a table gives: which, and by what of the head it is looked up."""


def _scaled(number: Number, factor: int) -> Number:
    span = _times(number.span, factor)
    wide = not INT32.holds(span)
    if number.value is not None:
        return constant(number.value * factor)
    return Number(f"({number.as_type(wide)} * {factor})", span, wide=wide)


def _times(span: Span, factor: int) -> Span:
    return Span(span.low * factor, span.high * factor)


def _columns(state: Any, heads: Any, queues: Any) -> dict[str, Column]:
    """All tables; models that several tenants run have their rows once."""
    profiles, scale = state.profiles, int(state.visible.machine.scale)
    firsts, places = [], dict[bytes, int]()
    blocks: list[NDArray[Any]] = []
    for entry in profiles:
        rows = state.rows[int(entry.first_row) : int(entry.first_row) + int(entry.rows)]
        key = rows.tobytes()
        if key not in places:
            places[key] = sum(map(len, blocks))
            blocks.append(np.asarray(rows))
        firsts.append(places[key])
    rows = np.concatenate(blocks)
    columns = {
        **{
            name: (ROW, rows[name])
            for name in ("compute_cycles", "fetch_cycles", "remaining_cycles", "live_bytes")
        },
        "weight_bytes": (ROW, rows["weight_scaled"] // scale),
        "dram_bytes": (ROW, rows["dram_scaled"] // scale),
        "inherent_scaled": (ROW, rows["inherent_scaled"]),
        "first_row": (BATCH, np.array(firsts)),
        "batch_size": (BATCH, profiles["batch"]),
        **{
            name: (BATCH, profiles[name])
            for name in (
                "rows",
                "standalone_cycles",
                "compute_intensive",
                "longest_fetch_cycles",
                "model_compute_cycles",
                "model_fetch_cycles",
            )
        },
        "first_profile": (TENANT, queues["first_profile"]),
        "largest_batch": (TENANT, queues["max_batch"]),
        "drops": (TENANT, queues["drop_hopeless"]),
        "defers": (TENANT, queues["defer_hopeless"]),
        **{name: (TENANT, heads[name]) for name, (_, of) in _LOOKED_UP.items() if of == TENANT},
    }
    return {name: Column(name, of, np.asarray(values, np.int64)) for name, (of, values) in columns.items()}


def _constants(record: Any) -> dict[str, int | None]:
    """Options as numbers; None for those that are floating point."""
    kinds = record.dtype.fields or {}
    return {
        name: int(record[name][0]) if np.issubdtype(kinds[name][0], np.integer) else None
        for name in record.dtype.names or ()
    }


def _fields(record: np.dtype[np.void], kind: type) -> tuple[str, ...]:
    """Names of what the policy remembers, as far as it is of a kind."""
    kinds: Mapping[str, Any] = record.fields or {}
    return tuple(
        name for name in record.names or () if name != "none" and np.issubdtype(kinds[name][0], kind)
    )


def _prepared(policy: Policy, tables: Any) -> dict[str, Column]:
    named = tables._asdict() if hasattr(tables, "_asdict") else {}
    columns = {}
    for name, values in named.items():
        array = np.asarray(values)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise PolicyError(
                f"its table {name} is no list of integers",
                where=policy.name,
                accepted="one-dimensional int64 arrays",
            )
        entries = array.astype(np.int64) if len(array) else np.zeros(1, np.int64)
        columns[name] = Column(f"table_{name}", "", entries)
    return columns
