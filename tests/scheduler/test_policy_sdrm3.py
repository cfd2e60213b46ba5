from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.sdrm3 import POLICY


def test_urgency_without_waiting(desk: Any) -> None:
    # min(1, 50 / 100) = 0.5 against min(1, 30 / 40) = 0.75; one past its deadline has 1.
    heads = {
        0: {"remaining_cycles": 50, "deadline": 100},
        1: {"remaining_cycles": 30, "deadline": 40},
        2: {"remaining_cycles": 30, "deadline": 20},
    }
    assert desk(POLICY, 3).decide({t: heads[t] for t in (0, 1)}) == 1
    assert desk(POLICY, 3).decide(heads) == 2


def test_waiting_counts_in_units_of_the_next_layer(desk: Any) -> None:
    # Both waited 100. Next layers take max(10, 20) = 20 and max(50, 10) = 50: fairness 5 against 2, urgency
    # 0.1 against 0.9. Sums: 5.1 > 2.9. With alpha 0.1: 0.6 < 1.1.
    heads = {
        0: {"remaining_cycles": 10, "deadline": 200, "compute_cycles": 10, "fetch_cycles": 20},
        1: {"remaining_cycles": 90, "deadline": 200, "compute_cycles": 50, "fetch_cycles": 10},
    }
    assert desk(POLICY, 2).decide(heads, now=100) == 0
    assert desk(POLICY, 2, alpha=0.1).decide(heads, now=100) == 1
