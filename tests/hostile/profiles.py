"""Schedule profiles, altered by a seed, and run if they are accepted: some thousands a minute."""

from __future__ import annotations

import json
import random
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from oracles.random_inputs import profile_of

from hostile.words import NUMBERS, alter
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import LayerweaverError
from layerweaver.ir.limits import MAX_QUANTITY
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.compile.groups import weave_group
from layerweaver.scheduler.offline import ModelProfile
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.profile.file import save_profile
from layerweaver.scheduler.profile.profile import Profile, Provenance

__all__ = ["POLICIES", "ProfileFuzzer", "arrivals_of", "is_short", "run_if_short"]

POLICIES = ("fcfs", "layerweaver+")
MACHINE = MachineSpec("unit", 10**9, 13, 7, 5000)
ORIGIN = Provenance("a.onnx", "", {}, {}, {}, "0", ())
MOST_ROWS = 20_000
SMALL = (0, 1, 3, 7, 900, 4999)
SHIFTS = (0, 0, 1, 2, 5, 12, 20, 28, 36)


def arrivals_of(queries: int) -> list[dict[str, Any]]:
    """One mapping of every kind of arrivals that needs no file."""
    return [
        {"kind": "saturated", "queries": queries},
        {"kind": "closed_loop", "concurrency": 3, "think_ms": 0.01, "queries": queries},
        {"kind": "poisson", "qps": 20_000, "seed": 1},
        {"kind": "bursts", "qps": [100, 50_000], "period_s": 0.0005, "burst_s": 0.0001, "seed": 2},
        {"kind": "offline", "samples": queries},
    ]


def is_short(prepared: PreparedScenario) -> bool:
    """Whether a scenario asks for little."""
    scenario = prepared.scenario
    rows = sum(menu[-1].table.rows for npu in prepared.npus for menu in npu.menus)
    spec = scenario.spec
    expected = sum(
        tenant.arrival.expected_queries(scenario.length(index)) for index, tenant in enumerate(spec.tenants)
    )
    return expected * rows <= MOST_ROWS and (spec.duration_s or 0) <= 0.1


def run_if_short(scenario: Scenario, chance: random.Random, policies: tuple[str, ...] = POLICIES) -> None:
    """Prepare a scenario, and run it under one of the policies if it asks for little."""
    prepared = prepare(scenario)
    if is_short(prepared):
        policy = load_policy(chance.choice(policies))
        run_once(prepared, policy, TrafficRequest(), progress=lambda _: True)


class ProfileFuzzer:
    """Alters profiles in a folder and uses them.

    Half of them are damaged files, which must be refused unless nothing that counts was hit. The other half
    are whole and consistent, of rows and machines at the edges of what is accepted: these reach the engine.

    Args:
        folder: Where they are written.

    Attributes:
        path: The altered profile.
        decoder_path: A good one with a language model, ``chat``.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "altered.lwp"
        entries = (
            profile_of("a", MACHINE, [(900, 4000, 3000, 5), (10, 900, 900, 0), (400, 0, 0, 9)]),
            profile_of("b", MACHINE, [(20, 6000, 4500, 0), (30, 5000, 5000, 2)]),
        )
        bare = Profile({"name": "unit"}, MACHINE, entries, (ORIGIN, ORIGIN))
        woven = (weave_group(bare, ("a", "b")),)
        self.decoder_path = folder / "decoder.lwp"
        kept = []
        decoder = compile_models([ModelRequest("chat", "zoo:gpt2", iterations=True)], "memory-centric")
        for path, profile in ((self.path, replace(bare, weaves=woven)), (self.decoder_path, decoder)):
            save_profile(profile, path)
            with zipfile.ZipFile(path) as archive:
                kept.append({name: archive.read(name) for name in archive.namelist()})
        self._plain, self._with_decoder = kept
        self._scenarios = [self._scenario(random.Random(seed)) for seed in range(24)]

    def attempt(self, chance: random.Random) -> None:
        """One altered profile.

        Raises:
            LayerweaverError: If it was refused.
        """
        if chance.random() < 0.5:
            self._damage(chance)
        else:
            self._extreme(chance)
        run_if_short(chance.choice(self._scenarios), chance)

    def _scenario(self, chance: random.Random) -> Scenario:
        tenants = [
            {
                "name": name,
                "model": {"profile": str(self.path), "entry": name},
                "deadline_ms": chance.choice((0.01, 1, 1000)),
                "arrival": chance.choice(arrivals_of(chance.choice((1, 5, 30)))),
                "priority": chance.choice((1, 3, 9)),
                "queue": chance.choice(({}, {"limit": 2}, {"drop_hopeless": True}, {"timeout_ms": 0.01})),
            }
            for name in ("a", "b")
        ]
        keys: dict[str, Any] = {
            "duration_s": 0.002,
            "warmup_s": chance.choice((0, 0.001)),
            "tenants": tenants,
        }
        if chance.random() < 0.3:
            keys["groups"] = [["a", "b"]]
        return load_scenario(keys)

    def _damage(self, chance: random.Random) -> None:
        """Change bytes, numbers of arrays, or values of the manifest."""
        members, damaged = dict(self._with_decoder if chance.random() < 0.05 else self._plain), set()
        for _ in range(chance.choice((1, 1, 2, 4))):
            name = chance.choice(list(members))
            data = bytearray(members[name])
            if name.endswith(".npy") and chance.random() < 0.7:
                place = len(data) - 8 * chance.randrange(1, max(2, (len(data) - 128) // 8 + 1))
                form, value = ("<d", chance.choice((0.0, 1e300, -1.0, float("nan"))))
                if b"<i8" in data[:128]:
                    form, value = "<q", chance.choice(NUMBERS)
                struct.pack_into(form, data, place, value)
            elif name.endswith(".json") and name not in damaged and chance.random() < 0.8:
                document = json.loads(bytes(data))
                alter(document, chance)
                data = bytearray(json.dumps(document).encode())
            elif data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                damaged.add(name)
            members[name] = bytes(data)
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    def _extreme(self, chance: random.Random) -> None:
        """Write a consistent profile of extreme rows on an extreme machine."""
        machine = MACHINE
        if chance.random() < 0.5:
            clock_hz = chance.choice((1, 10**6, 10**9, 9 * 10**9))
            numerator, denominator = chance.choice(((1, 1), (1, 99_991), (2**24, 1), (2**45, 1), (13, 7)))
            buffer = chance.choice((1, 5000, 2**20, 2**45, 2**45 // denominator))
            machine = MachineSpec("unit", clock_hz, numerator, denominator, buffer)
        entries = tuple(_rows(name, machine, chance) for name in ("a", "b"))
        profile = Profile({"name": "unit"}, machine, entries, (ORIGIN, ORIGIN))
        save_profile(profile, self.path)


def _rows(name: str, machine: MachineSpec, chance: random.Random) -> ModelProfile:
    """A model of which one number in five, mostly, is extreme."""
    share = chance.choice((0.0, 0.2, 0.2, 1.0))

    def number(most: int) -> int:
        if chance.random() >= share:
            return min(chance.choice(SMALL), most)
        return (
            chance.choice((most, most, most + 1, -1))
            if chance.random() < 0.04
            else most >> chance.choice(SHIFTS)
        )

    count = chance.choice((1, 2, 5, 12))
    each = MAX_QUANTITY // count
    moves = each * machine.bandwidth_numerator // machine.bandwidth_denominator
    rows = []
    for _ in range(count):
        moved = number(max(1, min(each, moves)))
        rows.append((number(each), moved, number(min(moved, machine.weight_buffer_bytes)), number(each)))
    try:
        return profile_of(name, machine, rows)
    except (ValueError, OverflowError) as error:  # a table is built by callers: it refuses in its own way
        raise LayerweaverError(" ".join(str(error).split())) from None
