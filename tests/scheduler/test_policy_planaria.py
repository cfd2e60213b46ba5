from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.planaria import POLICY


def test_priority_over_slack(desk: Any) -> None:
    # Slack 100 - 50 = 50 and 200 - 80 = 120: 1/50 = 0.020 against 1/120 = 0.008; with priority 3: 0.025.
    heads = {0: {"remaining_cycles": 50, "deadline": 100}, 1: {"remaining_cycles": 80, "deadline": 200}}
    assert desk(POLICY, 2).decide(heads) == 0
    heads[1]["priority"] = 3
    assert desk(POLICY, 2).decide(heads) == 1


def test_hopeless_requests_go_first_the_oldest_before_others(desk: Any) -> None:
    heads = {
        0: {"remaining_cycles": 50, "deadline": 60},
        1: {"remaining_cycles": 50, "deadline": 40, "arrival": 9},
        2: {"remaining_cycles": 50, "deadline": 30, "arrival": 5},
    }
    assert desk(POLICY, 3).decide(heads) == 2
