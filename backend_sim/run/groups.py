"""Declared groups of tenants: their static woven schedules, precomputed once per prepared scenario.

A group's schedule is what Layerweaver's rule does to its tenants alone, at their largest batch sizes, while
all of them always have a request (*ours*, see :mod:`layerweaver.scheduler.static.weave`). The policy
``static-weave`` replays it; under every policy a result states its period as a yardstick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from layerweaver.ir import ProfileError

if TYPE_CHECKING:
    from layerweaver.backend_sim.run.variants import Npu

__all__ = ["Group", "group_documents"]


@with_config(ConfigDict(extra="allow", allow_inf_nan=False))
class Group(TypedDict):
    """The static woven schedule of a group on one kind of NPU; None where no period was found."""

    npu: str
    tenants: list[str]
    prefix_rows: int | None
    period_rows: int | None
    period_ms: float | None
    requests_per_period: dict[str, int] | None
    qps: float | None
    stp: float | None


_MAX_ROWS = 100_000
"""Rows (some seconds) after which a result no longer looks for a group's period."""


def group_documents(
    npus: Sequence[Npu], groups: Sequence[Sequence[int]], names: Sequence[str]
) -> list[Group]:
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


def _document(npu: Npu, members: Sequence[int], names: Sequence[str]) -> Group:
    from layerweaver.scheduler.static.weave import find_weave  # noqa: PLC0415 - loads numba

    document: Group = {
        "npu": npu.machine.name,
        "tenants": [names[index] for index in members],
        "prefix_rows": None,
        "period_rows": None,
        "period_ms": None,
        "requests_per_period": None,
        "qps": None,
        "stp": None,
    }
    try:
        weave, _ = find_weave([npu.menus[index][-1] for index in members], max_rows=_MAX_ROWS)
    except ProfileError:
        return document
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
    return {
        **document,
        "prefix_rows": len(weave.prefix),
        "period_rows": len(weave.period),
        "period_ms": period_s * 1e3,
        "requests_per_period": {names[index]: count for index, count in requests.items()},
        "qps": sum(requests.values()) / period_s,
        "stp": stp,
    }
