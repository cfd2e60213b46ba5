"""Scenarios, profiles, cost tables, traces and results, altered by a seed, and run if they are accepted."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import yaml
from oracles.random_inputs import profile_of

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.run.prepare import prepare
from layerweaver.backend_sim.run.run import run_once
from layerweaver.backend_sim.scenario.arrivals import TrafficRequest
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.costmodel import load_npu
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import LayerweaverError
from layerweaver.ir.json_text import parse_json
from layerweaver.scheduler.compile.groups import weave_group
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.profile.file import save_profile
from layerweaver.scheduler.profile.profile import Profile, Provenance

__all__ = ["Fuzzer"]

POLICIES = ("fcfs", "layerweaver+")
NUMBERS = (0, 1, -1, 2**31, 2**44, 2**45, 2**45 + 1, 2**59, 2**62, 2**63 - 1, -(2**63), 10**18, 3, 1000)
WORDS: tuple[Any, ...] = (*NUMBERS, 1e308, 1e-300, float("inf"), float("nan"))
WORDS += ("x", "", None, True, [], {}, "1e9")
MOST_ROWS = 20_000


class Fuzzer:
    """Alters inputs in a folder and uses them.

    Args:
        folder: Where the inputs are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        machine = MachineSpec("unit", 10**9, 13, 7, 5000)
        entries = (
            profile_of("a", machine, [(900, 4000, 3000, 5), (10, 900, 900, 0), (400, 0, 0, 9)]),
            profile_of("b", machine, [(20, 6000, 4500, 0), (30, 5000, 5000, 2)]),
        )
        origin = Provenance("a.onnx", "", {}, {}, {}, "0", ())
        profile = Profile({"name": "unit"}, machine, entries, (origin, origin))
        profile = Profile(
            {"name": "unit"},
            machine,
            entries,
            (origin, origin),
            (weave_group(profile, ("a", "b")),),
        )
        save_profile(profile, folder / "good.lwp")
        with zipfile.ZipFile(folder / "good.lwp") as archive:
            self._members = {name: archive.read(name) for name in archive.namelist()}
        self._result = json.dumps(simulate(self._scenario(random.Random(0), {}), "fcfs"))

    def attempt(self, number: int) -> bool:
        """One altered input; True if it was used, False if it was refused in one line.

        Raises:
            Exception: Whatever is not a refusal.
        """
        chance = random.Random(number)
        kind = chance.choice(
            (self._profile, self._profile, self._keys, self._costs, self._trace, self._report)
        )
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                kind(chance)
        except LayerweaverError as error:
            if "\n" in str(error) or not str(error).isprintable():
                raise ValueError("the refusal is not one printable line") from error
            return False
        return True

    def keep(self, folder: Path) -> None:
        """Copy the inputs of the last attempt."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)

    def _scenario(self, chance: random.Random, model: dict[str, Any]) -> dict[str, Any]:
        (self.folder / "costs.csv").write_text(
            "layer,compute_cycles,dram_bytes,weight_bytes\nl,1000,900,800\nm,10,9000,900\n"
        )
        queries = chance.choice((1, 5, 30))
        arrivals: list[dict[str, Any]] = [
            {"kind": "saturated", "queries": queries},
            {"kind": "closed_loop", "concurrency": 3, "think_ms": 0.01, "queries": queries},
            {"kind": "poisson", "qps": 20_000, "seed": 1},
            {"kind": "bursts", "qps": [100, 50_000], "period_s": 0.0005, "burst_s": 0.0001, "seed": 2},
            {"kind": "offline", "samples": queries},
        ]
        tenants = [
            {
                "name": name,
                "model": {**model, "entry": name} if model else {"costs": str(self.folder / "costs.csv")},
                "deadline_ms": chance.choice((0.01, 1, 1000)),
                "arrival": chance.choice(arrivals),
                "priority": chance.choice((1, 3, 9)),
            }
            for name in ("a", "b")
        ]
        keys = {"duration_s": 0.002, "warmup_s": chance.choice((0, 0.001)), "tenants": tenants}
        return keys if model else {"npu": "memory-centric", **keys}

    def _use(self, keys: dict[str, Any], chance: random.Random) -> None:
        text = yaml.safe_dump(keys)
        (self.folder / "scenario.yaml").write_text(text)
        prepared = prepare(load_scenario(self.folder / "scenario.yaml"))
        rows = sum(menu[-1].table.rows for npu in prepared.npus for menu in npu.menus)
        spec = prepared.scenario.spec
        expected = sum(
            tenant.arrival.expected_queries(prepared.scenario.length(index))
            for index, tenant in enumerate(spec.tenants)
        )
        if expected * rows <= MOST_ROWS and (spec.duration_s or 0) <= 0.1:
            run_once(
                prepared, load_policy(chance.choice(POLICIES)), TrafficRequest(), progress=lambda _: True
            )

    def _profile(self, chance: random.Random) -> None:
        members, damaged = dict(self._members), set()
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
                _alter(document, chance)
                data = bytearray(json.dumps(document).encode())
            elif data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                damaged.add(name)
            members[name] = bytes(data)
        with zipfile.ZipFile(self.folder / "altered.lwp", "w", zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        self._use(self._scenario(chance, {"profile": str(self.folder / "altered.lwp")}), chance)

    def _keys(self, chance: random.Random) -> None:
        keys = self._scenario(chance, {})
        for _ in range(chance.choice((1, 1, 3))):
            _alter(keys, chance)
        self._use(keys, chance)

    def _costs(self, chance: random.Random) -> None:
        keys = self._scenario(chance, {})
        lines = (self.folder / "costs.csv").read_text().splitlines()
        cells = lines[chance.randrange(1, len(lines))].split(",")
        cells[chance.randrange(len(cells))] = str(chance.choice(WORDS))
        lines[chance.randrange(len(lines))] = ",".join(cells)
        (self.folder / "costs.csv").write_text("\n".join(lines) + "\n")
        self._use(keys, chance)

    def _trace(self, chance: random.Random) -> None:
        keys = self._scenario(chance, {})
        rows = [
            "tenant,query,arrival_ns",
            *(f"a,{k},{k * chance.choice((10, 10**5))}" for k in range(9)),
            "b,0,0",
        ]
        cells = rows[chance.randrange(len(rows))].split(",")
        cells[chance.randrange(len(cells))] = str(chance.choice(WORDS))
        rows[chance.randrange(len(rows))] = ",".join(cells)
        (self.folder / "trace.csv").write_text("\n".join(rows) + "\n")
        for tenant in keys["tenants"]:
            tenant["arrival"] = {
                "kind": "trace",
                "file": str(self.folder / "trace.csv"),
                "sort": chance.random() < 0.5,
            }
        self._use(keys, chance)

    def _report(self, chance: random.Random) -> None:
        document = json.loads(self._result)
        _alter(document, chance)
        text = json.dumps(document).encode()
        (self.folder / "result.json").write_bytes(text)
        try:
            parsed = parse_json(text)
        except ValueError as error:
            raise LayerweaverError(str(error)) from None
        build_report([parsed], names=["result.json"]).encode()
        load_npu({"name": "x", chance.choice(("clock_mhz", "array", "sram")): chance.choice(WORDS)})


def _alter(document: Any, chance: random.Random) -> None:
    """Change one value, or leave one out."""
    places: list[tuple[Any, Any]] = []
    parts = [document]
    for part in parts:
        items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        for key, inner in items:
            places.append((part, key))
            parts.append(inner)
    part, key = chance.choice(places)
    if isinstance(part, dict) and chance.random() < 0.1:
        del part[key]
    elif isinstance(part[key], (int, float)) and chance.random() < 0.6:
        part[key] = chance.choice(NUMBERS)
    else:
        part[key] = chance.choice(WORDS)
