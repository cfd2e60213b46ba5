from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.sjf import POLICY


def test_least_remaining_time_goes_first(desk: Any) -> None:
    heads = {0: {"remaining_cycles": 40}, 1: {"remaining_cycles": 30}, 2: {"remaining_cycles": 30}}
    assert desk(POLICY, 3).decide(heads) == 1
    # A shorter request overtakes one that has begun ...
    assert desk(POLICY, 3).decide(heads, running=0) == 1
    # ... unless pre-emption is off.
    assert desk(POLICY, 3, preemptive=False).decide(heads, running=0) == 0
