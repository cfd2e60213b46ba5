"""The largest profiles and results that are accepted, in the same way."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from hostile.largest_files import Build, count_of, named, scenario_of, tenant_of
from layerweaver.backend_sim.results.files import result_csv as as_csv
from layerweaver.backend_sim.scenario.reading import load_scenario
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable
from layerweaver.ir.json_text import values_in
from layerweaver.scheduler.offline import ModelProfile, build_offline
from layerweaver.scheduler.profile.file import save_profile
from layerweaver.scheduler.profile.profile import Profile, Provenance

__all__ = ["RESULTS"]


def profile_rows(folder: Path, share: float) -> list[str]:
    """The largest profile: rows of few layers."""
    return ["show", str(_profile(folder, count_of(4_500_000, share) // 5, 5, 1)), "--json"]


def profile_run(folder: Path, share: float) -> list[str]:
    """The most rows that a scenario may take from one."""
    path = _profile(folder, count_of(1_900_000, share) // 2, 2, 1)
    model = {"profile": str(path), "entry": "m0"}
    return scenario_of(folder, [tenant_of("a", model), tenant_of("b", {**model, "entry": "m1"})], npu=None)


def profile_names(folder: Path, share: float) -> list[str]:
    """A profile whose manifest is as large as it may be: names of 4,000 characters."""
    count = count_of(16_000, share)
    return ["show", str(_profile(folder, count, 1, count, "n" * 3_900)), "--json"]


def profile_layers(folder: Path, share: float) -> list[str]:
    """A profile of as many names as may be."""
    count = count_of(490_000, share)
    return ["show", str(_profile(folder, count, 2, count)), "--json"]


def _profile(folder: Path, rows: int, entries: int, layers: int, name: str = "l") -> Path:

    machine = MachineSpec("unit", 10**9, 16, 1, 1 << 20)
    made = []
    for index in range(entries):
        ones = np.full(rows, 10, np.int64)
        table = CostTable(
            model=f"m{index}",
            batch=1,
            machine=machine,
            compute_cycles=ones,
            dram_bytes=ones,
            weight_bytes=ones,
            live_bytes=ones,
            layer_index=np.minimum(np.arange(rows), layers - 1),
            layer_names=tuple(f"{name}{k}" for k in range(layers)),
        )
        made.append(ModelProfile(f"m{index}", table, build_offline(table)))
    origin = Provenance(
        source="s", sha256="", dims={}, shapes={}, trip_counts={}, tool_version="1", warnings=()
    )
    save_profile(Profile({"name": "unit"}, machine, tuple(made), (origin,) * entries), folder / "big.lwp")
    return folder / "big.lwp"


def manifest(folder: Path, share: float) -> list[str]:
    """A manifest that is none, of as many values as JSON may have."""
    return _manifest(folder, "[" + "0," * int(1_999_000 * share) + "0]")


def manifest_of_lists(folder: Path, share: float) -> list[str]:
    """The same of empty lists."""
    return _manifest(folder, "[" + "[]," * int(999_000 * share) + "0]")


def manifest_of_text(folder: Path, share: float) -> list[str]:
    """The same of one text."""
    return _manifest(folder, '["' + "x" * int(((1 << 26) - 10_000) * share) + '"]')


def _manifest(folder: Path, npu: str) -> list[str]:
    text = f'{{"format": "layerweaver-profile", "npu": {{"a": {npu}}}}}'
    with zipfile.ZipFile(folder / "big.lwp", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("manifest.json", text)
    return ["show", str(folder / "big.lwp")]


def _result(folder: Path) -> dict[str, Any]:

    words = scenario_of(folder, [tenant_of("a", {"costs": "one.csv"})])
    found: dict[str, Any] = json.loads(json.dumps(simulate(load_scenario(words[1]), "fcfs")))
    return found


def _many(command: str) -> Build:
    def build(folder: Path, share: float) -> list[str]:
        run = _result(folder)
        tenant, most = run["tenants"][0], count_of(1000, share)
        run["tenants"] = [{**tenant, "name": f"t{k}"} for k in range(most)]
        text = json.dumps(run)
        most = min(int((60 << 20) * share) // len(text), int(1_900_000 * share) // values_in(text.encode()))
        kept = ("schema", "format", "version", "seeds", "scenario", "run")
        document = {key: value for key, value in run.items() if key in kept} | {"runs": [run] * max(1, most)}
        path = folder / "result.json"
        path.write_text(json.dumps(document))
        return [command, str(path), *(["-o", str(folder / "page.html")] if command == "report" else [])]

    return build


def result_of_text(folder: Path, share: float) -> list[str]:
    """A result of as many tenants as may be, with the longest names."""
    run = _result(folder)
    tenant = run["tenants"][0]
    run["tenants"] = [{**tenant, "name": f"{'x' * 4000}{k}"} for k in range(count_of(1000, share))]
    (folder / "result.json").write_text(json.dumps({"runs": [run] * max(1, int(10 * share))}))
    return ["report", str(folder / "result.json"), "-o", str(folder / "page.html")]


def result_of_values(folder: Path, share: float) -> list[str]:
    """A result with as many values as it may have."""
    run = _result(folder)
    run["tenants"][0]["x"] = [0.5] * int(1_990_000 * share)
    (folder / "result.json").write_text(json.dumps(run))
    return ["report", str(folder / "result.json"), "-o", str(folder / "page.html")]


def result_csv(folder: Path, share: float) -> list[str]:
    """A result as CSV."""

    text = as_csv(_result(folder))
    head, row = text.splitlines(keepends=True)[:2]
    (folder / "result.csv").write_text(head + row * (int((60 << 20) * share) // len(row) + 1))
    return ["rerun", str(folder / "result.csv")]


RESULTS: dict[str, Build] = {
    **named(
        profile_rows,
        profile_run,
        profile_names,
        profile_layers,
        manifest,
        manifest_of_lists,
        manifest_of_text,
        result_of_text,
        result_of_values,
        result_csv,
    ),
    "report": _many("report"),
    "rerun": _many("rerun"),
}
