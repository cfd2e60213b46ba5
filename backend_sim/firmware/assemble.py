"""The files of an export: texts of C with what the scenario needs, and the policy translated into them.

A line of a text that begins with ``[name]`` stays where the name is true of the scenario (``[!name]``: where
it is not); ``@column[index]`` is an entry of a table, or the constant that all of its entries are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import resources
from string import Template

from layerweaver.backend_sim.firmware.c_words import c_type
from layerweaver.backend_sim.firmware.columns import Column
from layerweaver.backend_sim.firmware.facts import Facts
from layerweaver.backend_sim.firmware.helpers import helpers
from layerweaver.backend_sim.firmware.spans import SIZES, Span, literal, storage_type
from layerweaver.backend_sim.firmware.things import Pointed
from layerweaver.backend_sim.firmware.translation import HEAD_NEEDED, translate
from layerweaver.scheduler.machine.view import NEVER
from layerweaver.scheduler.policies.contract import Policy

__all__ = ["Assembly"]

_CONDITION = re.compile(r"\[(!?)([\w.]+)\]")
_ENTRY = re.compile(r"@(\w+)\[((?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*)\]")
_WINDOW = (("int64_t", "dropped_scaled"), ("int32_t", "window_first"), ("int32_t", "window_last"))


class Assembly:
    """Everything that one scenario and one policy need, in C.

    Args:
        facts: The scenario's facts.
        policy: The policy.

    Raises:
        PolicyError: If the policy cannot be translated: file, line and reason.
    """

    def __init__(self, facts: Facts, policy: Policy, origin: str) -> None:
        self.facts, self.policy, self.origin = facts, policy, origin
        self.columns: dict[str, Column] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        translation = translate(facts, policy)
        self.program, self._reads = translation.text, translation.reads
        self._decide, self._asks_room = translation.decide, translation.asks_room
        self._kept = self._kept_fields()
        self._true = self._conditions()

    # What is kept

    def _kept_fields(self) -> dict[str, list[str]]:
        """Fields of the state, by record."""
        facts, reads = self.facts, self._reads
        machine = [name for name in facts.machine_fields() if reads("machine", name)]
        heads = {name for name in facts.head_fields() if reads("head", name)} | set(HEAD_NEEDED)
        if facts.defers.high:
            heads |= {"passed", "hopeless"}
        if facts.waits:
            heads |= {"timer", "due"}
        if facts.timeouts:
            heads.add("times_out")
        if "latest_start" in heads and facts.endless:
            heads.add("urgent")
        if not {"since", "last_start"}.isdisjoint(heads):
            heads.add("undated")
        return {
            "machine": machine,
            "head": [
                name
                for name, span in facts.head_fields().items()
                if name in heads and (span.low < span.high or (name in HEAD_NEEDED and name != "batch"))
            ],
        }

    def _is_table(self, name: str) -> bool:
        span = self.facts.columns[name].span
        return span.low < span.high

    def _conditions(self) -> set[str]:
        facts, spec = self.facts, self.policy.spec
        true = {f"{record}.{name}" for record, names in self._kept.items() for name in names}
        checks = {
            "drops": facts.drops.high,
            "defers": facts.defers.high,
            "behind": spec.heeds_backlog and facts.defers.high,
            "gives_up": facts.drops.high or facts.defers.high,
            "waits": facts.waits,
            "timed": facts.drops.high or facts.defers.high or facts.waits,
            "timeouts": facts.timeouts,
            "changes": facts.drops.high or facts.defers.high or facts.waits or facts.timeouts,
            "leaves": facts.drops.high or facts.timeouts,
            "each": facts.timeouts or "tenant" in self._kept["head"],
            "batches": facts.batches.high > 1 and self._is_table("batch_size"),
            "limited": facts.columns["queue_limit"].span.low < NEVER,
            "ahead": facts.dispatch_ahead,
            "overlap": spec.overlap,
            "checkpoints": spec.checkpoints,
            "switches": not spec.overlap or spec.checkpoints,
            "decides_later": facts.decision_cycles,
            "near": facts.near,
            "room": self._asks_room,
            "noted": self._asks_room and not facts.near,
            "dated": not {"since", "last_start"}.isdisjoint(self._kept["head"]),
        }
        return true | {name for name, holds in checks.items() if holds}

    # Texts

    def fill(self, file: str, **more: str) -> str:
        """A text with everything put in."""
        text = resources.files(__package__ or "").joinpath("texts", file).read_text(encoding="utf-8")
        lines = [line for line in map(self._chosen, text.split("\n")) if line is not None]
        filled = Template("\n".join(lines)).substitute(self._values() | more)
        return _ENTRY.sub(self._entry, filled)

    def _chosen(self, line: str) -> str | None:
        while found := _CONDITION.match(line):
            if (found[2] in self._true) == bool(found[1]):
                return None
            line = line[found.end() :]
        return line

    def _entry(self, found: re.Match[str]) -> str:
        column = self.facts.columns[found[1]]
        entry = column.at(found[2])
        if entry.value is None:
            self.columns[column.name] = column
        return entry.text

    def _values(self) -> dict[str, str]:
        facts = self.facts
        fields = facts.head_fields()
        weight = fields["weight_scaled"]

        def head(name: str) -> str:
            number = facts.read(Pointed("head", "head->"), name)
            return "0" if number is None else number.text

        def stored(name: str) -> str:
            return storage_type(fields[name])

        return {
            "POLICY": self.policy.name,
            "ORIGIN": self.origin,
            "TENANTS": str(facts.tenants),
            "CLOCK_HZ": str(facts.clock_hz),
            "RING": str(facts.ring),
            "TENANT_TYPE": storage_type(Span(0, facts.tenants)),
            "STRUCTS": self._structs(),
            "HELPERS": helpers(self.program),
            "PROGRAM": self.program,
            "SCALE": str(facts.scale),
            "RATE": str(facts.rate),
            "BUFFER": literal(facts.buffer_scaled, wide=True),
            "LATEST": "lw->wake" if facts.waits else "LW_NEVER",
            "HAS_DEADLINE": "deadline < LW_NEVER" if facts.endless else "1",
            "COUNT_TYPE": storage_type(facts.machine_fields()["ready_count"]),
            "GROWS": self._grows(),
            "REACH": f"INT64_C({facts.reach_cycles})",
            "COUNT_LIMIT": literal(facts.count_limit),
            "TIME": storage_type(facts.machine_fields()["start"]),
            "EPOCH": "lw->epoch + " if facts.near else "",
            "FROM_EPOCH": "lw->epoch + (uint32_t)" if facts.near else "",
            "SINCE_EPOCH": " - lw->epoch" if facts.near else "",
            "COUNTED_TYPE": storage_type(facts.machine_fields()["appended_scaled"]),
            "AHEAD": str(facts.dispatch_ahead),
            "DECISION_CYCLES": str(facts.decision_cycles),
            "WEIGHT_TYPE": stored("weight_scaled"),
            "WEIGHT_WORK": c_type(weight),
            "LONGEST_TYPE": storage_type(facts.machine_fields()["longest_fetch_cycles"]),
            "LONGEST_WORK": c_type(facts.machine_fields()["longest_fetch_cycles"]),
            "RUNNING_TYPE": storage_type(facts.machine_fields()["running"]),
            "BATCH_TYPE": stored("batch"),
            "PROFILE_TYPE": stored("profile"),
            "LEFT_COMPUTE_TYPE": stored("left_compute_cycles"),
            "LEFT_FETCH_TYPE": stored("left_fetch_cycles"),
            "HEAD_COMPUTE": head("compute_cycles"),
            "HEAD_FETCH": head("fetch_cycles"),
            "HEAD_WEIGHT": head("weight_scaled"),
            "HEAD_BATCH": head("batch"),
            "DECIDE": self._decide_call(),
            "MOVED_HEADS": self._moved_heads(),
        }

    def _decide_call(self) -> str:
        lists = ", lw->ready, lw->spare" if self._decide.lists_used else ""
        call = f"{self._decide.name}(lw{lists})"
        return call if self._decide.returned() == "int32_t" else f"(int32_t){call}"

    def _grows(self) -> str:
        """Whether another request changes a head that has not begun."""
        changes = ["head->rows_left == 0"]
        if self.facts.batches.high > 1:
            changes.append("(int32_t)head->batch < (int32_t)@largest_batch[tenant]")
        if self.facts.defers.high:
            changes.append("head->hopeless")
        if self.facts.timeouts:
            changes.append("left")
        return f"({' || '.join(changes)})" if len(changes) > 1 else changes[0]

    def _moved_heads(self) -> str:
        """What takes off the cycles by which the epoch moves from the times that heads keep."""
        kept = [name for name in self._kept["head"] if self.facts.kind_of("head", name)]
        if not kept:
            return ""
        lines = [f"        lw->heads[index].{name} -= cycles;" for name in kept]
        return "\n".join(["    for (int32_t index = 0; index < LW_TENANTS; index++) {", *lines, "    }"])

    @property
    def state_bytes(self) -> int:
        """Bytes of the scheduler's state on a core of 32 bits."""
        return self._sizes["lw_scheduler"][0]

    def _structs(self) -> str:
        facts = self.facts
        machine, heads, fetches = facts.machine_fields(), facts.head_fields(), facts.fetch_fields()
        pointers = ["*fresh", "*fresh_last"] + (["*late", "*late_last"] if facts.defers.high else [])
        kept = [
            (storage_type(heads[name]) if name != "tenant" else "lw_tenant", name)
            for name in self._kept["head"]
        ]
        self._sizes = {}
        parts = [
            self._struct(
                "lw_machine", [(storage_type(machine[name]), name) for name in self._kept["machine"]]
            ),
            self._struct("lw_head", [*[("lw_request", name) for name in pointers], *kept]),
            self._struct("lw_fetch", [(storage_type(span), name) for name, span in fetches.items()]),
        ]
        members = [
            ("lw_machine", "machine"),
            ("lw_head", "heads[LW_TENANTS]"),
            ("int64_t", "now"),
        ]
        if "changes" in self._true:
            members.append(("int64_t", "wake"))
        if "behind" in self._true:
            members.append(("int64_t", "late_from"))
        if facts.near:
            members.append(("int64_t", "epoch"))
        for condition, name in (("dated", "undated"), ("room", "room_known"), ("noted", "noted")):
            if condition in self._true:
                members.append(("int32_t", name))
        if "noted" in self._true:
            members += _WINDOW
        for record, kind, member in (("own", "lw_own", "own[LW_TENANTS]"), ("common", "lw_common", "common")):
            names = facts.own[record]
            if names and f"lw->{'own[' if record == 'own' else 'common.'}" in self.program:
                parts.append(self._struct(kind, [("int64_t", name) for name in names]))
                members.append((kind, member))
        if "leaves" in self._true:
            members.append(("lw_request", "*dropped"))
        if facts.dispatch_ahead:
            members.append((storage_type(machine["start"]), f"recent[{facts.dispatch_ahead + 1}]"))
            members.append(("int32_t", "recent_at"))
        members += [("lw_tenant", "ready[LW_TENANTS]"), ("lw_tenant", "spare[LW_TENANTS]")]
        members.append(("lw_fetch", "fetches[LW_RING]"))
        if "noted" in self._true:
            parts.append(self._struct("lw_note", [("int64_t", "key"), ("int32_t", "position")]))
            members.append(("lw_note", "window[LW_RING]"))
        parts.append(self._struct("lw_scheduler", members, ordered=False))
        return "\n".join(parts)

    def tables(self) -> Iterable[Column]:
        """The tables that the texts filled so far use."""
        used = {name for name in self.facts.columns if f"lw_{name}[" in self.program}
        columns: Mapping[str, Column] = self.facts.columns
        prepared = [column for column in self.facts.prepared.values() if f"lw_{column.name}[" in self.program]
        return [column for name, column in columns.items() if name in used or name in self.columns] + prepared

    def _struct(self, name: str, fields: Iterable[tuple[str, str]], *, ordered: bool = True) -> str:
        """A record in C, the longest fields first so that nothing is lost between them."""
        listed = list(fields)
        if ordered:
            listed.sort(key=lambda item: -self._size_of(*item)[1])
        size, alignment = 0, 1
        for kind, field in listed:
            own, aligned = self._size_of(kind, field)
            size = -(-size // aligned) * aligned + own
            alignment = max(alignment, aligned)
        self._sizes[name] = -(-size // alignment) * alignment, alignment
        lines = [f"    {kind} {field};" for kind, field in listed]
        return "\n".join(["typedef struct {", *lines, f"}} {name};", ""])

    def _size_of(self, kind: str, field: str) -> tuple[int, int]:
        """Bytes of a field on a core of 32 bits, and what its address is a multiple of."""
        kinds = {"lw_tenant": storage_type(Span(0, self.facts.tenants))}
        size, alignment = (4, 4) if field.startswith("*") else self._sizes.get(kind, (0, 0))
        if not size:
            size = alignment = SIZES[kinds.get(kind, kind)]
        count = field.partition("[")[2].rstrip("]")
        named = {"LW_TENANTS": self.facts.tenants, "LW_RING": self.facts.ring}
        return size * (named.get(count) or int(count or 1)), alignment
