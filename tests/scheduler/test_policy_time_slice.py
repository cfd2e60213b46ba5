from __future__ import annotations

import re
from typing import Any

import pytest

from layerweaver.ir import PolicyError
from layerweaver.scheduler.policies import load_policy
from layerweaver.scheduler.policies.time_slice import POLICY


def test_turns_end_with_the_quantum(desk: Any) -> None:
    # 1 GHz: 0.1 us are 100 cycles.
    table = desk(POLICY, 3, quantum_us=0.1)
    everyone: dict[int, dict[str, int]] = {0: {}, 1: {}, 2: {}}
    ends = [0, 60, 99, 100, 150, 210, 320]
    turns = [table.decide(everyone, compute_end=end) for end in ends]
    # Tenant 0 from 0, tenant 1 from 100, tenant 2 from 210, and 0 again from 320.
    assert turns == [0, 0, 0, 1, 1, 2, 0]


def test_a_turn_ends_early_without_work_and_nobody_waits_for_the_absent(desk: Any) -> None:
    table = desk(POLICY, 3, quantum_us=0.1)
    assert table.decide({0: {}, 2: {}}, compute_end=0) == 0
    assert table.decide({2: {}}, compute_end=10) == 2
    assert table.decide({0: {}, 2: {}}, compute_end=109) == 2
    assert table.decide({0: {}, 1: {}, 2: {}}, compute_end=110) == 0
    # Alone, a tenant gets turn after turn.
    assert table.decide({0: {}}, compute_end=500) == 0


def test_a_quantum_of_nothing_switches_after_every_row(desk: Any) -> None:
    table = desk(POLICY, 2, quantum_us=0)
    assert [table.decide({0: {}, 1: {}}, compute_end=end) for end in (0, 10, 10, 30)] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("time-slice:quantum_us=-3", "option quantum_us: -3 is out of range; give 0 or more"),
        ("layerweaver+:margin_us=-0.5", "option margin_us: -0.5 is out of range; give 0 or more"),
        ("aimt:prefetch_share=1.5", "option prefetch_share: 1.5 is out of range; give 0 to 1"),
        ("aimt:block_bytes=0", "option block_bytes: 0 is out of range; give 1 or more"),
    ],
)
def test_an_option_out_of_range_is_refused(policy: str, says: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(says)):
        load_policy(policy)
