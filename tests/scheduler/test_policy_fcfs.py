from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.fcfs import POLICY, PREFETCH_POLICY


def test_the_first_arrival_runs_to_its_end(desk: Any) -> None:
    for spec in (POLICY, PREFETCH_POLICY):
        table = desk(spec, 3)
        # Arrivals 7, 5, 5: tenant 1 came first, the tie with tenant 2 goes to the lower index.
        heads = {0: {"arrival": 7}, 1: {"arrival": 5}, 2: {"arrival": 5}}
        assert table.decide(heads) == 1
        # Tenant 2 has begun: it goes on although tenant 1 arrived earlier.
        heads[1]["arrival"] = 3
        assert table.decide(heads, running=2) == 2


def test_only_the_prefetching_form_overlaps_requests() -> None:
    assert not POLICY.overlap
    assert PREFETCH_POLICY.overlap
