"""What repetitions with other seeds say together: a tenant's worst status, and one run of all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from layerweaver.backend_sim.results.schema.run import Run
from layerweaver.backend_sim.results.schema.system import System
from layerweaver.backend_sim.results.schema.tenant import Tenant
from layerweaver.backend_sim.results.told import told_of_seeds

__all__ = [
    "OF_THE_WORST",
    "STATUSES",
    "averaged",
    "each_seed",
    "judge_by_worst",
    "slowest",
    "tell_all",
    "tell_missing",
]

STATUSES = ("late", "too_short", "met")
"""From the worst on."""

OF_THE_WORST = ("missing_queries", "missing_s")
"""Figures of a tenant that are of its worst repetition, as its status is."""


def judge_by_worst(repetitions: Sequence[Run], document: Run) -> None:
    """Give each tenant the status of its worst repetition with its reasons, and ``confidence`` those of all.

    Args:
        repetitions: The documents of the repetitions, in the order of the seeds.
        document: Their common document, with ``confidence``, which is changed.
    """
    spreads = document["confidence"]["tenants"]
    for index, (tenant, spread) in enumerate(zip(document["tenants"], spreads, strict=True)):
        judged = [run["tenants"][index] for run in repetitions]
        spread["status"] = [each.get("status") for each in judged]
        place = min(range(len(judged)), key=lambda number: _badness(judged[number]))
        worst = judged[place]
        tenant["status"], tenant["verdict"] = worst.get("status"), worst.get("verdict")
        for key in OF_THE_WORST:
            tenant[key] = worst.get(key)  # type: ignore[literal-required]
        reasons = list(worst.get("reasons", ()))
        tenant["reasons"] = (
            [f"seed {place + 1} of {len(judged)}: {reasons[0]}", *reasons[1:]] if reasons else []
        )


def _badness(tenant: Tenant) -> tuple[int, float, int, float]:
    """Ascending: by status, then by requests lost, then by what is missing."""
    status = tenant.get("status")
    rank = STATUSES.index(status) if status in STATUSES else len(STATUSES)
    missing = tenant.get("missing_queries") or 0, tenant.get("missing_s") or 0.0
    return rank, -(tenant["violation_rate"] or 0.0), -missing[0], -missing[1]


def tell_all(repetitions: Sequence[Run], document: Run) -> None:
    """Let notes and warnings say what every repetition does, and of which seed a line is that not all say.

    Args:
        repetitions: The documents of the repetitions, in the order of the seeds.
        document: Their common document, which is changed.
    """
    names = [tenant["name"] for tenant in document["tenants"]]
    if notes := told_of_seeds([run.get("notes", []) for run in repetitions], names):
        document["notes"] = notes
    if warnings := told_of_seeds([run.get("warnings", []) for run in repetitions], names):
        document["warnings"] = warnings


def averaged(run: Run) -> Run:
    """A run with the means over its seeds wherever it has them; without repetitions the run itself."""
    return _pooled(run, lambda spread: spread.get("mean"))


def each_seed(run: Run) -> list[Run]:
    """The run as each of its seeds says wherever they are known apart; none without repetitions.

    A figure that a seed has none of is not a number.
    """
    count = run.get("seeds", 1) if "confidence" in run else 0
    return [_pooled(run, lambda spread, place=place: _value(spread, place)) for place in range(count)]  # type: ignore[misc]


def _value(spread: Mapping[str, object], place: int) -> object:
    values = spread["values"]
    value = values[place] if isinstance(values, list) and place < len(values) else None
    return math.nan if value is None else value


def slowest(run: Run) -> Run:
    """The same with the highest value of any seed."""
    return _pooled(run, _highest)


def _highest(spread: Mapping[str, object]) -> object:
    values = spread["values"]
    known = [value for value in values if _is_number(value)] if isinstance(values, list) else []
    return max(known, default=None)


def _pooled(run: Run, pick: Callable[[Mapping[str, object]], object]) -> Run:
    found = run.get("confidence")
    if found is None or len(found["tenants"]) != len(run["tenants"]):
        return run
    pairs = zip(run["tenants"], found["tenants"], strict=True)
    return {
        **run,
        "tenants": [cast("Tenant", _with(tenant, spread, pick)) for tenant, spread in pairs],
        "system": cast("System", _with(run["system"], found["system"], pick)),
    }


def _with(
    document: Mapping[str, object],
    spreads: Mapping[str, object],
    pick: Callable[[Mapping[str, object]], object],
) -> dict[str, object]:
    """A document with what is picked of its spreads, which are nested as it is."""
    result = dict(document)
    for key, spread in spreads.items():
        own = document.get(key)
        if not isinstance(spread, Mapping):
            continue
        if isinstance(own, Mapping):
            result[key] = _with(own, spread, pick)
        elif _is_number(own) and "values" in spread and _is_number(value := pick(spread)):
            result[key] = value
    return result


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def tell_missing(document: Run, ended: int, seeds: int, later: Sequence[str]) -> None:
    """Say in a result that was interrupted which repetitions and policies there are none of.

    Args:
        document: The result, whose ``warnings`` say it.
        ended: How many of its repetitions ended.
        seeds: How many were asked for.
        later: Policies that did not run.
    """
    found = [f"{ended} of {seeds} seeds ended"] if seeds > 1 else []
    found += [f"{', '.join(later)} did not run"] if later else []
    if found:
        document["warnings"] = [*document.get("warnings", []), f"interrupted: {'; '.join(found)}"]
