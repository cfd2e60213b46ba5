"""``longest_us: auto``: how long rows of a tenant may be, for the sake of those that share the NPU (*ours*).

A request that comes while a row is under way waits for its end, so a row as long as another tenant's slack
(its deadline less its standalone time) makes that tenant late. More pieces cost cycles of fill and drain, for
which everybody waits. So lengths are tried from the longest row down, each half of the one before. The one is
taken that has the least *blocking* ``length / slack``, of the tightest other tenant, plus ten times the share
of cycles added; none that adds more than 3%.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from layerweaver.backend_sim.scenario.scenario import Scenario
from layerweaver.costmodel import NpuConfig
from layerweaver.ir import ModelError
from layerweaver.ir.clock import cycles_to_ns_up, ns_to_cycles_down
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.offline import ModelProfile

__all__ = ["AUTO", "chosen_lengths", "length_notes", "whole"]

AUTO = math.inf
"""In a request: the length is still to be chosen."""

MOST_ADDED = 0.03
_WEIGHT = 10
_SHORTEST_PART = 64
"""Rows shorter than one part in so many of the slack block nobody."""


def whole(requests: Sequence[ModelRequest]) -> list[ModelRequest]:
    """The requests, uncut where the length is still to be chosen."""
    return [
        replace(request, longest_us=None) if request.longest_us == AUTO else request for request in requests
    ]


def chosen_lengths(
    scenario: Scenario,
    requests: Sequence[ModelRequest],
    keys: Mapping[int, str],
    menus: Sequence[Sequence[ModelProfile]],
    config: NpuConfig,
) -> list[ModelRequest]:
    """The requests with every length chosen.

    Args:
        scenario: The scenario.
        requests: Models, :data:`AUTO` where the length is to be chosen.
        keys: Per tenant, the entry that it runs.
        menus: Per tenant, its model uncut at every batch size.
        config: The NPU.
    """
    slack = _slack_cycles(scenario, menus)
    chosen = []
    for request in requests:
        if request.longest_us != AUTO:
            chosen.append(request)
            continue
        users = [index for index, entry in keys.items() if entry == request.entry]
        others = [cycles for index, cycles in slack.items() if users != [index] and cycles > 0]
        profiles = menus[users[0]]
        length_us = _length_us(request, profiles, min(others), config) if others else None
        chosen.append(replace(request, longest_us=length_us))
    return chosen


def length_notes(
    scenario: Scenario, requests: Sequence[ModelRequest], keys: Mapping[int, str], npu: str
) -> Iterator[str]:
    """What was chosen for whom, a line each.

    Args:
        scenario: The scenario.
        requests: Models, each with its length.
        keys: Per tenant, the entry that it runs.
        npu: The NPU that it was chosen for.
    """
    lengths = {request.entry: request.longest_us for request in requests}
    for index, tenant in enumerate(scenario.spec.tenants):
        if tenant.longest_us == "auto" and index in keys:
            length_us = lengths[keys[index]]
            done = "cuts no layer" if length_us is None else f"cuts layers at {length_us:g} us"
            on = f" on {npu}" if scenario.spec.pool else ""
            yield f"tenant {tenant.name!r}: longest_us auto {done}{on}"


def _slack_cycles(scenario: Scenario, menus: Sequence[Sequence[ModelProfile]]) -> dict[int, int]:
    """Per tenant with a deadline, the cycles that it leaves beside the smallest batch alone."""
    slack = {}
    for index, menu in enumerate(menus):
        limit_ns = scenario.deadline_ns(index)
        if limit_ns is not None:
            limit = ns_to_cycles_down(limit_ns, menu[0].table.machine.clock_hz)
            slack[index] = limit - menu[0].standalone_cycles
    return slack


def _length_us(
    request: ModelRequest, profiles: Sequence[ModelProfile], slack: int, config: NpuConfig
) -> float | None:
    """The length of the least cost; None for whole rows."""
    clock_hz = profiles[0].table.machine.clock_hz
    best, least = None, _longest(profiles) / slack
    length = _longest(profiles) // 2
    while length * _SHORTEST_PART > slack:
        length_us = cycles_to_ns_up(length, clock_hz) / 1e3
        try:
            cut = compile_models([replace(request, longest_us=length_us)], config).entries
        except ModelError:  # no layer can be cut so short
            break
        added = max(
            int(after.table.compute_cycles.sum()) / max(1, int(before.table.compute_cycles.sum())) - 1
            for before, after in zip(profiles, cut, strict=True)
        )
        cost = length / slack + _WEIGHT * added
        if added <= MOST_ADDED and cost < least:
            best, least = length_us, cost
        length //= 2
    return best


def _longest(profiles: Sequence[ModelProfile]) -> int:
    """Cycles of the longest row."""
    return max(
        int(np.maximum(profile.table.compute_cycles, profile.table.memory_cycles).max())
        for profile in profiles
    )
