"""What a scenario says once and for all: tables, constants, and where the fields of records are in C.

Nothing is kept in the state that a table or a constant gives: a column with one value for all is a constant,
and fields of a head that follow from its row, its batch or its tenant are looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import FunctionType
from typing import Any, cast

import numpy as np

from layerweaver.backend_sim.engine.guarded import is_of_others
from layerweaver.backend_sim.engine.input import SimulationInput
from layerweaver.backend_sim.engine.layout import build_state
from layerweaver.backend_sim.firmware.columns import (
    KEYS,
    LOOKED_UP,
    columns_of,
    prepared_columns,
    reading,
)
from layerweaver.backend_sim.firmware.spans import (
    INT32,
    INT64,
    POSITION,
    TIME,
    Number,
    Span,
    constant,
    storage_type,
)
from layerweaver.backend_sim.firmware.things import Listed, Pointed
from layerweaver.scheduler.machine.jit import mentions
from layerweaver.scheduler.machine.view import COUNT_LIMIT, NEVER
from layerweaver.scheduler.policies.contract import Policy
from layerweaver.scheduler.rules.commitment import MARK, SPARING

__all__ = ["Facts"]

_TIME = Span(0, NEVER)
_MANY = Span(0, 2**31 - 1)
_BYTES = Span(0, 2 * COUNT_LIMIT)
_POSITION = Span(0, 2**31 - 2)
_NEAR_CYCLES = 2**28
_NEAR = Span(-2 * _NEAR_CYCLES, 2 * _NEAR_CYCLES)
_FROM_EPOCH = Span(INT64.low, NEVER)
_FEW_BYTES = 2**30


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
        self.kinds = {name: int(getattr(machine, name)) for name in ("one_kind", "kinds_by_size")}
        self.decision_cycles = int(machine.decision_cycles)
        self.dispatch_ahead, self.reach_cycles = given.dispatch_ahead, int(state.totals.reach_cycles)
        self.patience = {name: int(getattr(machine, name)) for name in ("all_can_wait", "exempt_cycles")}
        self.columns = columns_of(state, heads, queues)
        self.options = _constants(policy.record(self.clock_hz))
        memory = policy.memory([tenant.profiles for tenant in given.tenants], given.groups)
        kept = {"own": memory.tenants.dtype, "common": memory.common.dtype}
        self.own = {record: _fields(kind, np.integer) for record, kind in kept.items()}
        self.floating = {record: _fields(kind, np.floating) for record, kind in kept.items()}
        self.prepared = prepared_columns(policy, memory.tables)
        self.defers, self.drops = self.columns["defers"].span, self.columns["drops"].span
        self.near = self._furthest_cycles(policy) < _NEAR_CYCLES and not _looks_back(policy)
        largest = self.columns["weight_bytes"].span.high * self.scale
        self.count_limit = _FEW_BYTES if max(self.buffer_scaled, largest) <= _FEW_BYTES // 2 else COUNT_LIMIT
        self._mutable = self._machine_spans()

    @property
    def endless(self) -> bool:
        """Whether a tenant's requests have no deadline."""
        return self.columns["limit_cycles"].span.high == NEVER

    @property
    def waits(self) -> bool:
        """Whether batches wait for company."""
        return self.batches.high > 1 and self.columns["delay_cycles"].span.high > 0

    @property
    def timeouts(self) -> bool:
        """Whether a tenant's requests give up waiting."""
        return self.columns["timeout_cycles"].span.low < NEVER

    @property
    def batches(self) -> Span:
        """Requests of one batch."""
        return Span(1, self.columns["largest_batch"].span.high)

    def _furthest_cycles(self, policy: Policy) -> int:
        """How far behind a decision its row can end at most; :data:`NEVER` without a bound.

        Late commitment appends to what reaches beyond its marks rows of memory-intensive models only. Whole
        models of these do not add to what is to be computed beyond the fetches, so of each tenant at most two
        parts of a model do. No lead is longer than all fetches of a model; full queues are not held. Without
        overlap only rows of one model are ahead. A tenant that is spared is fetched ahead no further than its
        deadline, which is at most ``exempt_cycles`` away.
        """
        longest = self.columns["longest_fetch_cycles"].span.high
        limits = self.columns["limit_cycles"].values
        spared = int(limits[limits <= self.patience["exempt_cycles"]].max(initial=0))
        most = int(self.columns["model_compute_cycles"].values.max())
        if not policy.spec.overlap:
            ahead = most
        elif self.options.get("hides") and self.columns["queue_limit"].span.low == NEVER:
            fetched = int(self.columns["model_fetch_cycles"].values.max())
            ahead = (2 * self.tenants + 1) * most + MARK * max(longest, fetched)
            if self.options["hides"] == SPARING:
                ahead += spared
        else:
            return NEVER
        return (self.dispatch_ahead + 2) * (ahead + longest) + self.decision_cycles

    @property
    def _cycle(self) -> Span:
        """Bounds of times that the machine keeps."""
        return _NEAR if self.near else _TIME

    def _machine_spans(self) -> dict[str, Span]:
        longest = self.columns["longest_fetch_cycles"].span.high
        return {
            **dict.fromkeys(("now", "start", "fetch_end", "compute_end", "origin"), self._cycle),
            "hold_until": _TIME,
            "free_scaled": Span(0, self.buffer_scaled),
            "room_scaled": INT64,
            "longest_fetch_cycles": Span(0, longest),
            "ready_count": Span(0, self.tenants),
            "hidden_count": Span(0, self.tenants),
            "running": Span(-1, self.tenants - 1),
            "mode": Span(0, 255),
            "queued": _MANY,
            **dict.fromkeys(("first", "last"), _POSITION),
            "appended_scaled": self._counted,
        }

    @property
    def _counted(self) -> Span:
        """Bounds of scaled bytes counted from the origin."""
        few = Span(0, self.count_limit + self.count_limit // 2 - 1)
        return _BYTES if self.count_limit == COUNT_LIMIT else few

    def kind_of(self, record: str, field: str) -> str:
        """What a field is: a time counted from the epoch, a position, or just a number."""
        if record == "machine" and field in _POSITIONS:
            return POSITION
        if self.near and field in _TIMES.get(record, ()):
            return TIME
        return ""

    def machine_fields(self) -> dict[str, Span]:
        """What of the machine is kept in the state."""
        return self._mutable

    def fetch_fields(self) -> dict[str, Span]:
        """What is kept of every fetch."""
        return {"before_scaled": self._counted, "done": self._cycle}

    def head_fields(self) -> dict[str, Span]:
        """What can be kept of every head."""
        columns = self.columns
        return {
            "latest_start": _FROM_EPOCH if self.near else Span(-NEVER, NEVER),
            **dict.fromkeys(("deadline", "arrival", "since", "last_start", "newest"), _TIME),
            "arrived": Span(0, 2**40),
            **dict.fromkeys(("served_compute_cycles", "served_fetch_cycles"), _TIME),
            "left_compute_cycles": Span(0, columns["model_compute_cycles"].span.high),
            "left_fetch_cycles": Span(0, columns["model_fetch_cycles"].span.high),
            "compute_cycles": columns["compute_cycles"].span,
            "fetch_cycles": columns["fetch_cycles"].span,
            "weight_scaled": columns["weight_bytes"].span.times(self.scale),
            "queued": _MANY,
            "passed": _MANY if self.defers.high else Span(0, 0),
            "request": Span(0, 2**32 - 1),
            "rows_left": Span(0, columns["rows"].span.high),
            "place": Span(0, len(columns["compute_cycles"].values) - 1),
            "profile": Span(0, len(columns["batch_size"].values) - 1),
            "batch": self.batches,
            "tenant": Span(0, self.tenants - 1),
            "hopeless": Span(0, self.defers.high),
            "urgent": Span(0, 1),
            "started": Span(0, 1),
            "undated": Span(0, 1),
            **dict.fromkeys(("timer", "times_out"), _TIME),
            "due": Span(0, 1),
        }

    def constants(self) -> dict[str, int]:
        """What of the machine never changes."""
        return {
            "rate": self.rate,
            "scale": self.scale,
            "buffer_scaled": self.buffer_scaled,
            "tenant_count": self.tenants,
            **self.kinds,
            **self.patience,
            "decision_cycles": self.decision_cycles,
            "clock_hz": self.clock_hz,
        }

    def read(self, record: Pointed, field: str) -> Number | None:
        """The expression of a field; None if there is no such field."""
        number = self._read(record, field)
        kind = self.kind_of(record.record, field)
        return number if number is None or not kind else replace(number, kind=kind)

    def _read(self, record: Pointed, field: str) -> Number | None:
        text = record.text + field
        match record.record:
            case "machine":
                if field == "mask":
                    return Number("LW_MASK", _MANY)
                if field in self.constants():
                    return constant(self.constants()[field])
                if field == "room_scaled":
                    return Number("room_left(lw)", INT64, wide=True)
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
        kept = self.head_fields().get(field)
        if field in LOOKED_UP:
            return self.columns[field].at(f"{head}{KEYS[LOOKED_UP[field]]}")
        if field == "dram_scaled":
            return self.columns["dram_bytes"].at(f"{head}place").times(self.scale)
        if field == "compute_scaled":
            return self._compute_scaled(head)
        if field == "inherent_scaled":
            return self._inherent(head)
        if field == "row":
            first = self.columns["first_row"].at(f"{head}profile")
            span = Span(0, self.columns["rows"].span.high - 1)
            return Number(f"((int32_t){head}place - (int32_t){first.text})", span)
        if field in _OURS or kept is None:
            return None
        return reading(head + field, kept)

    def _compute_scaled(self, head: str) -> Number:
        return reading(f"{head}compute_cycles", self.columns["compute_cycles"].span).times(self.rate)

    def _inherent(self, head: str) -> Number:
        inherent = self.columns["inherent_scaled"].span
        if inherent.low == inherent.high:
            return constant(inherent.low)
        compute = self._compute_scaled(head)
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
            case "fetch" if (span := self.fetch_fields().get(field)) is not None:
                return text, storage_type(span)
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


def _looks_back(policy: Policy) -> bool:
    """Whether a policy may ask how long ago an engine ended; shipped ones ask only how far ahead it is."""
    choose = cast("FunctionType", policy.spec.choose)
    return is_of_others(choose) and any(mentions(choose, name) for name in ("compute_end", "fetch_end"))


_TIMES = {
    "machine": ("now", "start", "fetch_end", "compute_end", "origin"),
    "fetch": ("done",),
    "head": ("latest_start",),
}
_OURS = ("place", "tenant", "urgent", "started", "undated", "timer", "due", "times_out")
"""Fields of heads that only the C text knows."""

_POSITIONS = ("first", "last")


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
