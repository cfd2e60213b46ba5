"""What a decision costs on a small core: instructions of every one over a replayed run, without noise."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layerweaver.backend_sim.firmware.cores import CORES, Core, Machine, build
from layerweaver.ir.clock import ns_to_cycles_down, ns_to_cycles_up
from layerweaver.scheduler.machine.view import NEVER

__all__ = ["MOST_DECISIONS", "Cost", "Replay", "measure"]

MOST_DECISIONS = 10_000
"""Decisions of the run that are counted."""

_ROOM = 0x2000_0000
_REQUEST_BYTES, _CHOICE_BYTES = 32, 56
_HOLD = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Replay:
    """A run to be replayed.

    Attributes:
        clock_hz: Cycles per second.
        arrivals: (arrival in ns, tenant, number) of every request, in order of time.
        deadlines_ns: Per tenant, from arrival to deadline; None without one.
        state_bytes: Bytes of the scheduler's state.
    """

    clock_hz: int
    arrivals: Sequence[tuple[int, int, int]]
    deadlines_ns: Sequence[int | None]
    state_bytes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What decisions cost on one core.

    Attributes:
        core: The core.
        code_bytes: Bytes of the scheduler's machine code.
        decisions: (cycle, tenant, number of the first request, row) of every row that was chosen.
        instructions: Of every such decision; those of the holds before it are not in it.
        arrival_instructions: Of every arrival.
    """

    core: Core
    code_bytes: int
    decisions: list[tuple[int, int, int, int]]
    instructions: list[int]
    arrival_instructions: list[int]

    def document(self, tenants: int) -> dict[str, object]:
        """Mean, 99th percentile and largest number of instructions, of arrivals mean and largest."""
        counts = np.sort(np.array(self.instructions or [0]))
        arrivals = np.array(self.arrival_instructions or [0])
        return {
            "core": self.core.name,
            "tenants": tenants,
            "code_bytes": self.code_bytes,
            "decisions": len(self.instructions),
            "mean": round(float(counts.mean()), 1),
            "p99": int(counts[min(len(counts) - 1, int(len(counts) * 0.99))]),
            "max": int(counts[-1]),
            "arrival_mean": round(float(arrivals.mean()), 1),
            "arrival_max": int(arrivals.max()),
        }


def measure(texts: dict[str, str], replay: Replay) -> list[Cost]:
    """Compile the scheduler for every core and count what it executes.

    Args:
        texts: The files of an export.
        replay: What arrives.

    Raises:
        OutputError: If the compiler refuses the text.
    """
    return [_measured(core, texts, replay) for core in CORES]


def _measured(core: Core, texts: dict[str, str], replay: Replay) -> Cost:
    image = build(texts, core)
    scheduler, choice = _ROOM, _ROOM + -(-replay.state_bytes // 64) * 64
    requests = choice + 64
    machine = Machine(core, image, (_ROOM, requests - _ROOM + _REQUEST_BYTES * max(1, len(replay.arrivals))))
    cost = Cost(core, image.code_bytes, [], [], [])
    machine.call("lw_init", scheduler)
    following, held = 0, 0
    cycles = [ns_to_cycles_up(time_ns, replay.clock_hz) for time_ns, _, _ in replay.arrivals]
    while len(cost.decisions) < MOST_DECISIONS:
        low, _ = machine.call("lw_next", scheduler)
        now = max(held, low | machine.second() << 32)
        while following < len(cycles) and cycles[following] <= now:
            address = requests + _REQUEST_BYTES * following
            time_ns, tenant, number = replay.arrivals[following]
            limit_ns = replay.deadlines_ns[tenant]
            deadline = NEVER if limit_ns is None else ns_to_cycles_down(time_ns + limit_ns, replay.clock_hz)
            machine.write(address, struct.pack("<IIqqII", 0, 0, cycles[following], deadline, number, 0))
            _, count = machine.call("lw_arrive", scheduler, tenant, address)
            cost.arrival_instructions.append(count)
            following += 1
        # A 64-bit argument takes a pair of registers, on Arm one that begins at an even one.
        words = (scheduler, 0, now, now >> 32, choice) if core.thumb else (scheduler, now, now >> 32, choice)
        tenant, count = machine.call("lw_decide", *words)
        given = struct.unpack("<6i4q", machine.read(choice, _CHOICE_BYTES))
        if tenant == _HOLD:
            held = min(given[-1], cycles[following] if following < len(cycles) else NEVER)
            if held == NEVER:
                break
            continue
        held = 0
        first = struct.unpack("<I", machine.read((given[5] & 0xFFFF_FFFF) + 24, 4))[0]
        cost.decisions.append((now, tenant, first, given[2]))
        cost.instructions.append(count)
    return cost
