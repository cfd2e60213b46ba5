from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.llf import POLICY


def test_least_slack_goes_first(desk: Any) -> None:
    # Slack at time 0: 300 - 290 = 10 against 200 - 5 = 195. The later deadline is the more urgent one.
    heads = {0: {"deadline": 300, "remaining_cycles": 290}, 1: {"deadline": 200, "remaining_cycles": 5}}
    assert desk(POLICY, 2).decide(heads) == 0
    # Equal slack of 10: the lower index.
    heads[1] = {"deadline": 110, "remaining_cycles": 100}
    assert desk(POLICY, 2).decide(heads) == 0
