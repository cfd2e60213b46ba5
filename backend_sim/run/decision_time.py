"""How long a decision takes: stated in cycles, or counted in instructions of a core beside the NPU."""

from __future__ import annotations

import csv
from fractions import Fraction
from functools import cache
from importlib.resources import files
from math import ceil

from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.ir import ScenarioError
from layerweaver.scheduler.policies.contract import Policy

__all__ = ["decision_cycles"]

_MOST_CYCLES = 10**6


def decision_cycles(scenario: Scenario, policy: Policy, clock_hz: int) -> int:
    """NPU cycles from a decision to the start of the fetch it decides.

    With ``decision: {core_mhz: 500}`` a decision takes as long as the core needs for the instructions of a
    mean decision, one in each of its cycles: those stated, or of a shipped policy those counted on rv32imc.

    Raises:
        ScenarioError: If nobody counted the policy's instructions, or they take longer than is accepted.
    """
    spec = scenario.spec.decision
    if spec is None:
        return scenario.spec.decision_cycles
    where = scenario.where("decision")
    count: Fraction | int | None = spec.instructions
    if count is None:
        count = _counted(policy.name, len(scenario.spec.tenants))
    if count is None:
        raise ScenarioError(
            f"instructions of a decision of {policy.name} were never counted",
            where=where,
            accepted=f"state instructions (export --measure counts them), or use {', '.join(_counts())}",
        )
    cycles = ceil(count * clock_hz / (Fraction(spec.core_mhz) * 10**6))
    if cycles > _MOST_CYCLES:
        raise ScenarioError(
            f"a decision takes {cycles:,} cycles of the NPU",
            where=where,
            accepted=f"at most {_MOST_CYCLES:,}: a quicker core, or fewer instructions",
        )
    return cycles


@cache
def _counts() -> dict[str, dict[int, int]]:
    """Mean instructions of a decision by policy and number of tenants, as the page on firmware has them."""
    text = files("layerweaver.backend_sim.run").joinpath("decision_instructions.csv").read_text("utf-8")
    counts: dict[str, dict[int, int]] = {}
    for row in csv.DictReader(text.splitlines()):
        counts.setdefault(row["policy"], {})[int(row["tenants"])] = int(row["instructions"])
    return counts


def _counted(policy: str, tenants: int) -> Fraction | None:
    """Instructions for so many tenants: on the line between the counts beside it, or through the last two."""
    counts = _counts().get(policy)
    if counts is None:
        return None
    known = sorted(counts)
    least = max(tenants, known[0])
    after = next((count for count in known[1:] if count >= least), known[-1])
    before = known[known.index(after) - 1]
    slope = Fraction(counts[after] - counts[before], after - before)
    return counts[before] + slope * (least - before)
