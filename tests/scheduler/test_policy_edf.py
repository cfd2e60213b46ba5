from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.edf import POLICY


def test_earliest_deadline_goes_first(desk: Any) -> None:
    # Tenant 2 has no deadline and waits for both others; what is left of a request does not count.
    heads = {
        0: {"deadline": 300, "remaining_cycles": 290},
        1: {"deadline": 200, "remaining_cycles": 5},
        2: {},
    }
    assert desk(POLICY, 3).decide(heads) == 1
    assert desk(POLICY, 3).decide({2: {}, 0: heads[0]}) == 0
