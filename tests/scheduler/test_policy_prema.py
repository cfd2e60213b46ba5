from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.prema import POLICY


def _head(remaining: int, priority: int = 1, **fields: int) -> dict[str, int]:
    return {"remaining_cycles": remaining, "standalone_cycles": 100, "priority": priority} | fields


def test_the_shortest_of_those_with_enough_tokens_runs(desk: Any) -> None:
    # Tokens 1, 3, 3 at time 0: the threshold is 3, so tenant 0 (the shortest) is not a candidate.
    heads = {0: _head(10), 1: _head(60, 3), 2: _head(50, 3)}
    assert desk(POLICY, 3).decide(heads) == 2
    # Tenant 0 has waited 250 cycles, 2.5 of its standalone time: 1 + 1 * 2.5 = 3.5 tokens. The others came
    # just now with 3. The threshold is still 3, so now tenant 0 counts and is the shortest.
    heads = {0: _head(10), 1: _head(60, 3, arrival=250), 2: _head(50, 3, arrival=250)}
    assert desk(POLICY, 3).decide(heads, now=250) == 0


def test_between_wake_ups_a_request_keeps_the_npu(desk: Any) -> None:
    table = desk(POLICY, 2, period_us=1.0)  # 1000 cycles at 1 GHz
    # Tenant 1 is alone and starts at time 0.
    assert table.decide({1: _head(90)}) == 1
    # Tenant 0 appears with less left: an arrival wakes the scheduler, 1 token each, the shorter one runs.
    assert table.decide({0: _head(80, arrival=10), 1: _head(85)}, now=10, running=1) == 0
    # 900 cycles later tenant 1 would be the shorter one, but nothing happened since: tenant 0 goes on.
    assert table.decide({0: _head(60), 1: _head(5)}, now=910, running=0) == 0
    # At 1010 the period is over. Tenant 1 has waited 1000 cycles: 1 + 10 tokens, threshold 9; 0 has 1.
    assert table.decide({0: _head(1), 1: _head(85)}, now=1010, running=0) == 1


def test_leaving_a_request_is_not_free() -> None:
    assert POLICY.checkpoints
