"""Whole-scenario checks: names, groups and MLPerf limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.backend_sim.traffic.mlperf import mlperf_limits
from layerweaver.backend_sim.traffic.recorded import TraceSpec
from layerweaver.ir import ScenarioError
from layerweaver.ir.spelling import nearest

__all__ = ["check_groups", "check_rates", "check_tokens"]


def check_groups(groups: Sequence[Sequence[str]], names: Sequence[str], where: Callable[..., str]) -> None:
    """Check that every group names different tenants of the scenario, and that no two are the same.

    Raises:
        ScenarioError: With the place of what is wrong.
    """
    seen: dict[frozenset[str], int] = {}
    for number, group in enumerate(groups):
        for place, member in enumerate(group):
            if member not in names:
                raise ScenarioError(
                    f"there is no tenant {member!r}",
                    where=where("groups", number, place),
                    accepted=nearest(member, list(names)),
                )
            if member in group[:place]:
                raise ScenarioError(
                    f"tenant {member!r} is twice in the group",
                    where=where("groups", number, place),
                    accepted="name every tenant once",
                )
        if not group:
            raise ScenarioError(
                "a group without tenants", where=where("groups", number), accepted="name its tenants"
            )
        if frozenset(group) in seen:
            raise ScenarioError(
                f"the same tenants as group {seen[frozenset(group)] + 1}",
                where=where("groups", number),
                accepted="declare every group once",
            )
        seen[frozenset(group)] = number


def check_rates(scenario: Scenario) -> None:
    """Refuse a tenant without a rate that could be scaled.

    Raises:
        ScenarioError: Naming the arrivals.
    """
    for index, tenant in enumerate(scenario.spec.tenants):
        if not tenant.arrival.scalable:
            raise ScenarioError(
                f"{tenant.arrival.kind} has no rate that can be scaled",
                where=scenario.where("tenants", index, "arrival"),
                accepted="give arrivals at a rate, such as poisson, or a trace",
            )


def _check_names(scenario: Scenario) -> None:
    names: dict[str, int] = {}
    for index, tenant in enumerate(scenario.spec.tenants):
        if tenant.name in names:
            raise ScenarioError(
                f"two tenants are called {tenant.name!r}",
                where=scenario.where("tenants", index, "name"),
                accepted="give every tenant its own name",
            )
        names[tenant.name] = index
    check_groups(scenario.spec.groups, list(names), scenario.where)


def _check_limits(scenario: Scenario) -> None:
    for index, tenant in enumerate(scenario.spec.tenants):
        if tenant.mlperf_model is None or tenant.deadline_ms is not None or not tenant.arrival.bounded:
            continue
        limits = mlperf_limits()[tenant.mlperf_model]
        if tenant.is_llm:
            if tenant.deadline is None and limits.server_tpot_ms is None:
                raise ScenarioError(
                    f"MLPerf has no limits per token for {tenant.mlperf_model} in the Server scenario",
                    where=scenario.where("tenants", index, "mlperf_model"),
                    accepted="state deadline: {ttft_ms: ..., tpot_ms: ...}",
                )
            continue
        if limits.server_latency_ms is None:
            raise ScenarioError(
                f"MLPerf has no single latency limit for {tenant.mlperf_model} in the Server scenario",
                where=scenario.where("tenants", index, "mlperf_model"),
                accepted="state deadline_ms",
            )


def check_tokens(scenario: Scenario) -> None:
    """Refuse to take lengths from a trace whose tokens shall be ignored.

    Raises:
        ScenarioError: Naming the arrivals.
    """
    for index, tenant in enumerate(scenario.spec.tenants):
        arrival = tenant.arrival
        if not isinstance(arrival, TraceSpec):
            continue
        if tenant.is_llm and arrival.tokens is not None and tenant.lengths_from_trace:
            raise ScenarioError(
                "the lengths come from this trace, whose tokens shall be ignored",
                where=scenario.where("tenants", index, "arrival", "tokens"),
                accepted="leave tokens out, or give lengths",
            )
