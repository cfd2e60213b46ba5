"""What of a policy and of the machine is translated: functions that C texts call, and what these read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, cast

from layerweaver.backend_sim.firmware.facts import Facts
from layerweaver.backend_sim.firmware.functions import Function
from layerweaver.backend_sim.firmware.program import Program
from layerweaver.backend_sim.firmware.spans import Number
from layerweaver.backend_sim.firmware.things import Pointed, Seen, Thing, Whole
from layerweaver.scheduler.machine import timelines
from layerweaver.scheduler.machine.jit import mentions
from layerweaver.scheduler.policies.contract import Policy
from layerweaver.scheduler.rules import commitment

__all__ = ["HEAD_NEEDED", "Translation", "translate"]

_MACHINE_NEEDED = (
    "start",
    "fetch_end",
    "compute_end",
    "ready_count",
    "hold_until",
    "first",
    "last",
    "appended_scaled",
)
HEAD_NEEDED = ("queued", "rows_left", "place", "profile", "batch", "started")
"""Fields of a head that the C text of every export reads."""

_ROW_NEEDED = ("compute_cycles", "weight_scaled")
_VIEW = Seen("ready", "spare")
_ROOM = "room_left(lw)"


def _lead_of(head: Any) -> Any:
    """How long before its own compute a row must be fetched for the rest of its request never to wait."""
    return head.lead_cycles


@dataclass(frozen=True, slots=True)
class Translation:
    """A policy and the machine in C.

    Attributes:
        text: All functions, callees first.
        decide: The one that decides.
        reads: Whether anybody reads a field (record, name).
        asks_room: Whether a decision asks what could be fetched beside a row.
    """

    text: str
    decide: Function
    reads: Callable[[str, str], bool]
    asks_room: bool


def translate(facts: Facts, policy: Policy) -> Translation:
    """Translate a policy and the machine for a scenario.

    Raises:
        PolicyError: If something cannot be translated: file, line and reason.
    """
    if mentions(cast("FunctionType", policy.spec.choose), "room_scaled"):
        made = _translated(facts, policy, asks_room=True)
        if _ROOM in made.text:
            return made
    return _translated(facts, policy, asks_room=False)


def _translated(facts: Facts, policy: Policy, *, asks_room: bool) -> Translation:
    spec = policy.spec
    needed = [("machine", name) for name in _MACHINE_NEEDED]
    needed += [("head", name) for name in (*HEAD_NEEDED, *_ROW_NEEDED)]
    if not spec.overlap or spec.checkpoints:
        needed.append(("machine", "running"))
    if spec.checkpoints:
        needed.append(("head", "live_bytes"))
    if asks_room:
        needed.append(("machine", "room_scaled"))
        if not facts.near:
            needed.append(("machine", "origin"))
    bound = {cast("FunctionType", commitment.choose): cast("FunctionType", spec.choose)}
    # Leads follow from rows alone; room beside a row is found out where a decision asks for it.
    bound[cast("FunctionType", commitment.lead_of)] = cast("FunctionType", _lead_of)
    bound |= {getattr(timelines, name): empty for name, empty in timelines.WITHOUT_ROOM.items()}
    bounds = {cast("FunctionType", timelines.fetch_end_of): facts.machine_fields()["fetch_end"]}
    program = Program(facts, bound, bounds, needed)
    machine = Pointed("machine", "")
    start, position = facts.read(machine, "start"), facts.read(machine, "last")
    assert start is not None
    assert position is not None
    weight = Number("", facts.head_fields()["weight_scaled"])
    roots: dict[str, tuple[Any, list[Thing]]] = {
        "release": (timelines.release, [_VIEW]),
        "fetch_end_of": (timelines.fetch_end_of, [_VIEW, Pointed("head", "head->")]),
        "append_fetch": (timelines.append_fetch, [_VIEW, weight, start]),
        "decide": (commitment.decide, [_VIEW, Pointed("options", ""), Whole("memory")]),
    }
    made = {
        name: program.root(cast("FunctionType", function), f"policy_{name}", given)
        for name, (function, given) in roots.items()
    }
    return Translation(program.text(), made["decide"], program.reads, asks_room)
