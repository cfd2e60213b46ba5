"""The tables of an export: columns of rows, of (model, batch) and of tenants, and what a policy prepared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerweaver.backend_sim.firmware.spans import INT32, Number, Span, constant, storage_type
from layerweaver.ir import PolicyError
from layerweaver.scheduler.policies.contract import Policy

__all__ = [
    "BATCH",
    "KEYS",
    "LOOKED_UP",
    "ROW",
    "TENANT",
    "Column",
    "columns_of",
    "prepared_columns",
    "reading",
]

ROW, BATCH, TENANT = "row", "profile", "tenant"
"""By what a column is looked up."""

_UNITS = {
    "compute_cycles": "cycles on the compute engine",
    "fetch_cycles": "cycles of the fetch without stalls",
    "weight_bytes": "bytes that become resident in the weight buffer",
    "dram_bytes": "bytes of DRAM traffic",
    "remaining_cycles": "cycles that the batch takes alone from this row on",
    "lead_cycles": "cycles before its own compute at which a row is fetched for the rest never to wait",
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
    "timeout_cycles": "cycles for which a request waits at most",
    "first_preferred": "index of the smallest preferred batch",
    "preferred_count": "number of preferred batches",
    "preferred_sizes": "requests of a batch that goes at once, of every tenant",
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
    "hurries": "1 to start a batch before its delay where its oldest would be late, else 0",
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


KEYS = {ROW: "place", BATCH: "profile", TENANT: "tenant"}
_OF_ROWS = ("remaining_cycles", "lead_cycles", "live_bytes")
_OF_BATCHES = (
    *("standalone_cycles", "compute_intensive", "longest_fetch_cycles"),
    *("model_compute_cycles", "model_fetch_cycles"),
)
_OF_TENANTS = (
    *("queue_limit", "limit_cycles", "delay_cycles", "priority"),
    *("full", "full_standalone_cycles", "full_compute_cycles", "full_fetch_cycles"),
)
LOOKED_UP = {
    **dict.fromkeys(_OF_ROWS, ROW),
    **dict.fromkeys(_OF_BATCHES, BATCH),
    **dict.fromkeys(_OF_TENANTS, TENANT),
}
"""Fields of a head that the table of their name gives, and by what of the head it is looked up."""


def columns_of(state: Any, heads: Any, queues: Any) -> dict[str, Column]:
    """All tables; models that several tenants run have their rows once."""
    profiles, scale = state.profiles, int(state.visible.machine.scale)
    firsts, places = [], dict[bytes, int]()
    blocks: list[NDArray[Any]] = []
    leads: list[NDArray[Any]] = []
    for entry in profiles:
        rows = state.rows[int(entry.first_row) : int(entry.first_row) + int(entry.rows)]
        key = rows.tobytes()
        if key not in places:
            places[key] = sum(map(len, blocks))
            blocks.append(np.asarray(rows))
            leads.append(rows["remaining_cycles"] - np.cumsum(rows["compute_cycles"][::-1])[::-1])
        firsts.append(places[key])
    rows = np.concatenate(blocks)
    columns = {
        "compute_cycles": (ROW, rows["compute_cycles"]),
        "fetch_cycles": (ROW, rows["fetch_cycles"]),
        "remaining_cycles": (ROW, rows["remaining_cycles"]),
        "live_bytes": (ROW, rows["live_bytes"]),
        "lead_cycles": (ROW, np.concatenate(leads)),
        "weight_bytes": (ROW, rows["weight_scaled"] // scale),
        "dram_bytes": (ROW, rows["dram_scaled"] // scale),
        "inherent_scaled": (ROW, rows["inherent_scaled"]),
        "first_row": (BATCH, np.array(firsts)),
        "batch_size": (BATCH, profiles["batch"]),
        "rows": (BATCH, profiles["rows"]),
        **{name: (BATCH, profiles[name]) for name in _OF_BATCHES},
        "first_profile": (TENANT, queues["first_profile"]),
        "largest_batch": (TENANT, queues["max_batch"]),
        "timeout_cycles": (TENANT, queues["timeout_cycles"]),
        "first_preferred": (TENANT, queues["preferred"]),
        "preferred_count": (TENANT, queues["preferred_count"]),
        "preferred_sizes": ("", state.preferred),
        "drops": (TENANT, queues["drop_hopeless"]),
        "defers": (TENANT, queues["defer_hopeless"]),
        "hurries": (TENANT, queues["hurries"]),
        **{name: (TENANT, heads[name]) for name in _OF_TENANTS},
    }
    return {name: Column(name, of, np.asarray(values, np.int64)) for name, (of, values) in columns.items()}


def prepared_columns(policy: Policy, tables: Any) -> dict[str, Column]:
    """Tables that a policy made.

    Raises:
        PolicyError: If one is no list of integers.
    """
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
