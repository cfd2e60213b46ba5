"""What a result says of the scenario it came from: every key, and hashes of its files and plug-ins."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from layerweaver.backend_sim.scenario.llm_schema import TimingsRef
from layerweaver.backend_sim.scenario.model_refs import CostsRef, ProfileRef
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.scenario.schema import NOT_FOR_LLM, ScenarioSpec
from layerweaver.costmodel import NpuConfig, npu_names
from layerweaver.costmodel.plugins import ARRAY_MODELS, COST_MODELS, NPU_LIBRARIES
from layerweaver.ir import ScenarioError
from layerweaver.ir.files import at_home, is_file
from layerweaver.ir.plugin_hashes import plugin_record
from layerweaver.ir.plugins import ARRIVALS, METRICS, OPERATORS, installed
from layerweaver.scheduler.compile.given_graphs import names_file

__all__ = [
    "FOLDER",
    "HASHES",
    "PLUGINS",
    "SKIPPING",
    "changed_files",
    "file_hash",
    "named_files",
    "scenario_files",
    "scenario_record",
    "start_of_paths",
    "stated_keys",
]

FOLDER, HASHES, PLUGINS, SKIPPING = "folder", "files", "plugins", "skip_bad_rows"
"""Keys beside the scenario's own: the folder of its paths, SHA-256 by path, package and SHA-256 of plug-ins
that other packages add, whether bad rows are left out."""


def scenario_record(scenario: Scenario, configs: Collection[NpuConfig] = ()) -> dict[str, object]:
    """All keys of a scenario with every default filled in, its folder, hashes of its files and plug-ins."""
    record = scenario.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    _leave_out_refused(record, scenario.spec)
    record[FOLDER] = str(scenario.folder)
    record[HASHES] = {
        text: file_hash(scenario.path_of(text)) for text in dict.fromkeys(scenario_files(scenario))
    }
    if plugins := plugin_record(_plugins(scenario, configs)):
        record[PLUGINS] = plugins
    return record


def _plugins(scenario: Scenario, configs: Collection[NpuConfig]) -> dict[str, Collection[str] | None]:
    """Names of entry points by group that decide what the scenario gives; metrics are in every result."""
    spec = scenario.spec
    used: dict[str, Collection[str] | None] = {
        COST_MODELS.group: {config.cost_model for config in configs},
        ARRAY_MODELS.group: {config.array.dataflow for config in configs},
        NPU_LIBRARIES.group: _libraries({config.name for config in configs} & set(npu_names())),
        ARRIVALS: {tenant.arrival.kind for tenant in spec.tenants},
        METRICS: None,
    }
    if any(isinstance(tenant.model, str) for tenant in spec.tenants):
        used[OPERATORS] = None
    return used


def _libraries(names: Collection[str]) -> list[str]:
    """The libraries that hold NPU configs of these names."""
    return [
        entry.name
        for entry in installed(NPU_LIBRARIES.group)
        if any(resources.files(entry.value).joinpath(f"{name}.yaml").is_file() for name in names)
    ]


def _leave_out_refused(record: dict[str, Any], spec: ScenarioSpec) -> None:
    """Take out defaults that nobody could have stated: beside the other keys they would be refused."""
    if spec.pool is None:
        del record["router"], record["router_seed"]
    if spec.decision is not None:
        del record["decision_cycles"]
    for tenant, keys in zip(spec.tenants, record["tenants"], strict=True):
        if tenant.is_llm:
            for key in NOT_FOR_LLM:
                keys.pop(key, None)


def stated_keys(record: Mapping[str, object]) -> dict[str, object]:
    """The scenario's own keys of such a record."""
    return {key: value for key, value in record.items() if key not in (FOLDER, HASHES, PLUGINS, SKIPPING)}


def start_of_paths(folder: Path) -> str:
    """Where the paths of what is run again start, in words: its folder may be relative."""
    if folder.is_absolute():
        return str(folder)
    present = "the folder that this is run in"
    return present if folder == Path() else f"{folder} in {present}"


def changed_files(record: Mapping[str, object]) -> list[str]:
    """What has become of the files of a record that are no longer what they were, one phrase for each."""
    hashes, folder = record.get(HASHES), Path(str(record.get(FOLDER, "")))
    if not isinstance(hashes, Mapping):
        raise ScenarioError("does not say which files it read", accepted="give a result of this version")
    found = []
    for text, digest in hashes.items():
        path = folder / at_home(text)
        if (now := file_hash(path)) == digest:
            continue
        if now is not None:
            found.append(f"{text} changed (SHA-256 {str(digest)[:12]}..., now {now[:12]}...)")
        else:
            found.append(f"{text} cannot be read" if is_file(path) else f"{text} is not there")
    return found


def named_files(result: Mapping[str, Any]) -> Iterator[Path]:
    """Where the files lie that the scenarios of a result name, as far as it says."""
    for run in result.get("runs", [result]):
        record = run.get("scenario") if isinstance(run, Mapping) else None
        hashes = record.get(HASHES) if isinstance(record, Mapping) else None
        if isinstance(record, Mapping) and isinstance(hashes, Mapping):
            yield from (Path(str(record.get(FOLDER, ""))) / at_home(str(text)) for text in hashes)


def scenario_files(scenario: Scenario) -> Iterator[str]:
    """Every path that the scenario names, as it does."""
    spec = scenario.spec
    for npu in (spec.npu, *(member.npu for member in spec.pool or ())):
        if isinstance(npu, str) and npu not in npu_names():
            yield npu
    for tenant in spec.tenants:
        reference = tenant.model
        if isinstance(reference, ProfileRef):
            yield reference.profile
        elif isinstance(reference, CostsRef):
            costs = reference.costs
            yield from [costs] if isinstance(costs, str) else costs.values()
        elif isinstance(reference, TimingsRef):
            yield reference.timings
        elif names_file(reference):
            yield reference
        yield from tenant.override_files().values()
        for part in (tenant.arrival, tenant.lengths):
            file = getattr(part, "file", None)
            if isinstance(file, str):
                yield file


def file_hash(path: Path) -> str | None:
    """SHA-256 of a file; None if it is none or cannot be read (a device may never end)."""
    if not is_file(path):
        return None
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
