"""Declared groups of tenants: their static woven schedules, precomputed once per prepared scenario.

A group's schedule is what Layerweaver's rule does to its tenants alone, at their largest batch sizes, while
all of them always have a request (*ours*, see :mod:`layerweaver.scheduler.static.weave`). The policy
``static-weave`` replays it; under every policy a result states its period as a yardstick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from layerweaver.ir import ProfileError

if TYPE_CHECKING:
    from layerweaver.backend_sim.run.variants import Npu

__all__ = ["group_documents"]


_MAX_ROWS = 100_000
"""Rows (some seconds) after which a result no longer looks for a group's period."""


def group_documents(
    npus: Sequence[Npu], groups: Sequence[Sequence[int]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """The static woven schedule of every group on every kind of NPU.

    Args:
        npus: The kinds of NPU with the tenants' models.
        groups: Tenant indices.
        names: Tenant names.

    Returns:
        Per group and kind ``npu``, ``tenants``, ``prefix_rows``, ``period_rows``, ``period_ms``,
        ``requests_per_period`` by tenant, ``qps`` (all of them per second) and ``stp``; None where no
        period was found within 100,000 rows.
    """
    return [_document(npu, sorted(group), names) for group in groups for npu in npus]


def _document(npu: Npu, members: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    from layerweaver.scheduler.static.weave import find_weave  # noqa: PLC0415 - loads numba

    document: dict[str, Any] = {"npu": npu.machine.name, "tenants": [names[index] for index in members]}
    keys = ("prefix_rows", "period_rows", "period_ms", "requests_per_period", "qps", "stp")
    try:
        weave, _ = find_weave([npu.menus[index][-1] for index in members], max_rows=_MAX_ROWS)
    except ProfileError:
        return {**document, **dict.fromkeys(keys)}
    period_s = weave.period_cycles / npu.machine.clock_hz
    requests = {
        index: int(count) * npu.menus[index][-1].table.batch
        for index, count in zip(members, weave.requests_per_period, strict=True)
    }
    alone_s = {
        index: npu.menus[index][0].standalone_cycles / npu.machine.clock_hz / npu.menus[index][0].table.batch
        for index in members
    }
    stp = sum(count * alone_s[index] for index, count in requests.items()) / period_s
    values = (
        len(weave.prefix),
        len(weave.period),
        period_s * 1e3,
        {names[index]: count for index, count in requests.items()},
        sum(requests.values()) / period_s,
        stp,
    )
    return {**document, **dict(zip(keys, values, strict=True))}
