"""Whether a schedule profile is of the scenario's NPU, and what it says of its own entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

from layerweaver.backend_sim.scenario.model_refs import ProfileRef
from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.costmodel import NpuConfig, load_npu
from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.npu.differences import cost_differences
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.profile.profile import Profile

__all__ = ["check_profiles", "profile_warnings"]

_NAMED = 3


def check_profiles(
    scenario: Scenario, profiles: Mapping[str, Profile], config: NpuConfig | None, machine: MachineSpec
) -> None:
    """Refuse profiles that were compiled for another NPU, however alike its name and its clock.

    Rows of language models are costed once more for the scenario's NPU, so only the machine has to be theirs.

    Args:
        scenario: The scenario.
        profiles: Loaded schedule profiles by the path that the scenario gives.
        config: The NPU; None where the profile says which.
        machine: The same NPU as the engine sees it.

    Raises:
        ScenarioError: Naming what differs.
    """
    for index, tenant in enumerate(scenario.spec.tenants):
        if not isinstance(tenant.model, ProfileRef):
            continue
        profile = profiles[tenant.model.profile]
        differing = []
        if config is not None and not tenant.is_llm:
            differing = [
                f"{key} {theirs}, here {ours}"
                for key, theirs, ours in islice(cost_differences(load_npu(profile.npu), config), _NAMED)
            ]
        if not differing and replace(profile.machine, name="") == replace(machine, name=""):
            continue
        if not differing:
            differing = _machine_differences(profile.machine, machine)
        other = "" if profile.machine.name == machine.name else f", not for {machine.name}"
        raise ScenarioError(
            f"the profile was compiled for {profile.machine.name}{other}: {'; '.join(differing)}",
            where=scenario.where("tenants", index, "model"),
            accepted="compile it for the scenario's NPU",
        )


def _machine_differences(theirs: MachineSpec, ours: MachineSpec) -> list[str]:
    rates = [machine.bandwidth_numerator / machine.bandwidth_denominator for machine in (theirs, ours)]
    told = [
        ("clock in Hz", theirs.clock_hz, ours.clock_hz),
        ("DRAM bytes per cycle", f"{rates[0]:.6g}", f"{rates[1]:.6g}"),
        ("weight buffer in bytes", theirs.weight_buffer_bytes, ours.weight_buffer_bytes),
        ("activation buffer in bytes", theirs.activation_buffer_bytes, ours.activation_buffer_bytes),
    ]
    return [f"{name} {before}, here {now}" for name, before, now in told if before != now][:_NAMED]


def profile_warnings(scenario: Scenario, profiles: Mapping[str, Profile]) -> Iterator[str]:
    """What was assumed when the profiles' entries were compiled, with the tenant whose model they are."""
    for tenant in scenario.spec.tenants:
        if isinstance(tenant.model, ProfileRef):
            profile = profiles[tenant.model.profile]
            names = [*profile.names, *(decoder.entry for decoder in profile.decoders)]
            for text in profile.warnings_of(tenant.model.entry or names[0]):
                yield f"{tenant.name}: {text}"
