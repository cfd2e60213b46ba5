from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.dysta import POLICY

MS = 10**6  # cycles per millisecond at 1 GHz


def test_remaining_time_is_corrected_by_slack(desk: Any) -> None:
    # Scores in ms at eta 0.01, no waiting: 2 + 0.01 * (300 - 2) = 4.98 against 3 + 0.01 * (10 - 3) = 3.07.
    heads = {
        0: {"remaining_cycles": 2 * MS, "deadline": 300 * MS, "standalone_cycles": 2 * MS},
        1: {"remaining_cycles": 3 * MS, "deadline": 10 * MS, "standalone_cycles": 3 * MS},
    }
    assert desk(POLICY, 2).decide(heads) == 1
    # With eta 0 only the remaining time counts.
    assert desk(POLICY, 2, eta=0.0).decide(heads) == 0


def test_standing_still_counts_against_a_request(desk: Any) -> None:
    # Equal but for waiting: 1 + 0.5 * 4 / (1 * 2) = 2 against 1 + 0.5 * 0 / 2 = 1; the one that ran goes on.
    heads = {t: {"remaining_cycles": MS, "standalone_cycles": MS, "last_start": t * 4 * MS} for t in (0, 1)}
    assert desk(POLICY, 2, eta=0.5).decide(heads, now=4 * MS) == 1
