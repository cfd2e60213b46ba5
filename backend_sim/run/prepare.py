"""From a scenario to what the engine runs: models compiled, menus of every NPU, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from layerweaver.backend_sim.run.auto_sizes import left_out_notes, useful_sizes
from layerweaver.backend_sim.run.cache_room import with_room
from layerweaver.backend_sim.run.decoders import decoder_model
from layerweaver.backend_sim.run.long_rows import long_row_warnings
from layerweaver.backend_sim.run.longest import AUTO, chosen_lengths, length_notes, whole
from layerweaver.backend_sim.run.prepared import PreparedScenario
from layerweaver.backend_sim.run.profile_fit import check_profiles, profile_warnings
from layerweaver.backend_sim.run.sharing import share_activations
from layerweaver.backend_sim.run.variants import Npu, RowRoom, tenant_menus
from layerweaver.backend_sim.scenario.model_refs import ProfileRef
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.scenario.schema import TenantSpec
from layerweaver.costmodel import NpuConfig, load_npu, npu_names
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.ir import ConfigError, ScenarioError
from layerweaver.ir.limits import MAX_VARIANTS, MAX_WORK_NS
from layerweaver.ir.spelling import nearest
from layerweaver.ir.text import figure
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.compile.given_graphs import names_file
from layerweaver.scheduler.profile.file import load_profile
from layerweaver.scheduler.profile.profile import Profile

__all__ = ["prepare"]
Tell = Callable[[float, str], None]


def prepare(scenario: Scenario, *, progress: Tell | None = None, shared: bool = True) -> PreparedScenario:
    """Compile or load every tenant's model for every NPU of the scenario.

    Args:
        scenario: The scenario.
        progress: Told the share done and what is being done.
        shared: Whether the tenants divide the activation buffer; otherwise each has it for itself.

    Raises:
        LayerweaverError: If an NPU, a model, a profile or a cost table is wrong.
    """
    profiles = _load_profiles(scenario)
    kinds = _npu_kinds(scenario, profiles)
    requests, keys = _model_requests(scenario)
    _check_variants(scenario, len(kinds))
    npus, warnings, room = [], dict.fromkeys(scenario.warnings), RowRoom()
    warnings.update(dict.fromkeys(profile_warnings(scenario, profiles)))
    chosen = dict[str, None]()
    for config, machine, count in kinds:
        check_profiles(scenario, profiles, config, machine)
        compiled = _compiled(scenario, whole(requests), config, progress)
        if compiled is not None:
            warnings.update(dict.fromkeys(compiled.warnings))
        decoders = tuple(
            decoder_model(scenario, index, machine, config, _profile_of(tenant, profiles))
            if tenant.is_llm
            else None
            for index, tenant in enumerate(scenario.spec.tenants)
        )
        stand_ins = {index: decoder.stand_in for index, decoder in enumerate(decoders) if decoder is not None}
        menus = tenant_menus(scenario, machine, profiles, compiled, keys=keys, stand_ins=stand_ins, room=room)
        if config is not None and any(request.longest_us == AUTO for request in requests):
            cut = chosen_lengths(scenario, requests, keys, menus, config)
            chosen.update(dict.fromkeys(length_notes(scenario, cut, keys, machine.name)))
            compiled = _compiled(scenario, cut, config, progress)
            menus = tenant_menus(
                scenario, machine, profiles, compiled, keys=keys, stand_ins=stand_ins, room=RowRoom()
            )
        if stand_ins:
            decoders = with_room(scenario, decoders, tuple(menus), config)
            for index, decoder in enumerate(decoders):
                if decoder is not None:
                    menus[index] = (decoder.stand_in,)
                    name = scenario.spec.tenants[index].name
                    warnings.update(dict.fromkeys(f"{name}: {note}" for note in decoder.notes))
            warnings.update(dict.fromkeys(long_row_warnings(scenario, decoders, menus)))
        useful = useful_sizes(scenario, menus)
        chosen.update(dict.fromkeys(left_out_notes(scenario, menus, useful, machine.name)))
        npus.append(Npu(machine, count, share_activations(useful) if shared else tuple(useful)))
    _check_work(scenario, npus)
    configs = tuple(config for config, _, _ in kinds if config is not None)
    return PreparedScenario(scenario, tuple(npus), tuple(warnings), decoders, configs, tuple(chosen))


def _check_variants(scenario: Scenario, kinds: int) -> None:
    """Refuse more batch sizes, of all tenants on all kinds of NPUs, than are kept."""
    sizes = sum(len(tenant.batch_sizes()) for tenant in scenario.spec.tenants)
    if sizes * kinds > MAX_VARIANTS:
        raise ScenarioError(
            f"the tenants have {sizes:,} batch sizes" + (f" on {kinds} kinds of NPUs" if kinds > 1 else ""),
            where=scenario.where("tenants"),
            accepted=f"at most {MAX_VARIANTS:,} in all",
        )


def _check_work(scenario: Scenario, npus: Sequence[Npu]) -> None:
    """Refuse requests that would keep the NPUs busy beyond what is counted, and groups that cost nothing."""
    for index, tenant in enumerate(scenario.spec.tenants):
        queries = tenant.arrival.expected_queries(scenario.length(index))
        standalone_s = min(
            npu.menus[index][0].standalone_cycles / npu.machine.clock_hz / npu.menus[index][0].table.batch
            for npu in npus
        )
        if queries * standalone_s > MAX_WORK_NS / 1e9:
            raise ScenarioError(
                f"{queries:.6g} requests that take up to {figure(standalone_s)} s each last too long",
                where=scenario.where("tenants", index, "arrival"),
                accepted=f"at most {MAX_WORK_NS / 1e9:g} s are simulated: ask for fewer requests",
            )
    for number, group in enumerate(scenario.group_indices):
        if not any(npu.menus[index][-1].standalone_cycles for npu in npus for index in group):
            raise ScenarioError(
                "the tenants of the group cost nothing, so they have no schedule",
                where=scenario.where("groups", number),
                accepted="name tenants whose models take time",
            )


def _load_profiles(scenario: Scenario) -> dict[str, Profile]:
    paths = (
        ref.profile
        for ref in (tenant.model for tenant in scenario.spec.tenants)
        if isinstance(ref, ProfileRef)
    )
    return {path: load_profile(scenario.path_of(path)) for path in dict.fromkeys(paths)}


def _profile_of(tenant: TenantSpec, profiles: Mapping[str, Profile]) -> Profile | None:
    return profiles[tenant.model.profile] if isinstance(tenant.model, ProfileRef) else None


def _npu_kinds(
    scenario: Scenario, profiles: Mapping[str, Profile]
) -> list[tuple[NpuConfig | None, MachineSpec, int]]:
    spec = scenario.spec
    if spec.npu is None and spec.pool is None:
        profile = next(iter(profiles.values()))
        # Only language models are costed once more: how depends on how many requests share an iteration.
        language = any(tenant.is_llm for tenant in spec.tenants)
        return [(load_npu(profile.npu) if language else None, profile.machine, 1)]
    wanted = (
        [(spec.npu, 1, ("npu",))]
        if spec.npu is not None
        else [
            (member.npu, member.count, ("pool", number, "npu"))
            for number, member in enumerate(spec.pool or [])
        ]
    )
    kinds: list[tuple[NpuConfig | None, MachineSpec, int]] = []
    for npu, count, key in wanted:
        with scenario.place(*key):
            if isinstance(npu, str) and npu not in npu_names() and ("/" in npu or Path(npu).suffix):
                config = load_npu(scenario.path_of(npu))
            else:
                config = load_npu(npu or "", folder=scenario.folder)
            _check_pins(scenario, config, profiles)
        kinds.append((config, config.machine(), count))
    return kinds


def _check_pins(scenario: Scenario, config: NpuConfig, profiles: Mapping[str, Profile]) -> None:
    """Refuse pins that mean no tenant's model; of models in a profile only the names are known."""
    known = {
        ref: _source_of(scenario, ref)
        for ref in (tenant.model for tenant in scenario.spec.tenants)
        if isinstance(ref, str)
    }
    kept = {origin.source for profile in profiles.values() for origin in profile.provenance}
    for pin in config.pinned_models:
        matched = any(config.means(pin, source) for source in (*known.values(), *kept))
        if not matched and Path(pin).name not in kept:
            raise ConfigError(
                f"pins {pin!r}, which is no tenant's model",
                accepted=nearest(pin, [*known, *sorted(kept)], "models"),
            )


def _compiled(
    scenario: Scenario, requests: list[ModelRequest], config: NpuConfig | None, progress: Tell | None
) -> Profile | None:
    if not requests:
        return None
    if config is None:
        raise ScenarioError(
            "has models to compile but no NPU", where=scenario.source.source, accepted="give npu"
        )
    return compile_models(requests, config, progress=progress)


def _source_of(scenario: Scenario, ref: str) -> str:
    return str(scenario.path_of(ref)) if names_file(ref) else ref


def _model_requests(scenario: Scenario) -> tuple[list[ModelRequest], dict[int, str]]:
    """One request per distinct (model, bindings), and each tenant's entry name."""
    made: dict[str, ModelRequest] = {}
    batches: dict[str, set[int]] = {}
    keys: dict[int, str] = {}
    for index, tenant in enumerate(scenario.spec.tenants):
        if not isinstance(tenant.model, str) or tenant.is_llm:
            continue
        request = _model_request(scenario, _source_of(scenario, tenant.model), tenant)
        distinct = repr(request)
        request = made.setdefault(distinct, replace(request, entry=tenant.name))
        keys[index] = request.entry
        batches.setdefault(distinct, set()).update(tenant.batch_sizes())
    requests = [
        replace(request, batches=tuple(sorted(batches[distinct]))) for distinct, request in made.items()
    ]
    return requests, keys


def _model_request(scenario: Scenario, source: str, tenant: TenantSpec) -> ModelRequest:
    """How the tenant's model file is to be read; entry and batch sizes are left open."""
    values = {
        name: tuple(map(_plain, value if isinstance(value, list) else [value]))
        for name, value in sorted(tenant.values.items())
    }
    return ModelRequest(
        entry="",
        source=source,
        dims=dict(sorted(tenant.dims.items())),
        shapes={name: tuple(shape) for name, shape in sorted(tenant.shapes.items())},
        values=values,
        trip_counts=dict(sorted(tenant.trip_counts.items())),
        state=tuple(tenant.state.items()),
        incomplete=tenant.incomplete,
        overrides={size: scenario.path_of(file) for size, file in tenant.override_files().items()},
        longest_us=AUTO if tenant.longest_us == "auto" else tenant.longest_us,
    )


def _plain(value: float) -> float:
    """A whole number as such: shapes take no others."""
    return int(value) if value.is_integer() else value
