from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.fair import POLICY


def _served(cycles: int) -> dict[str, int]:
    return {"served_compute_cycles": cycles, "served_fetch_cycles": cycles}


def test_the_least_served_tenant_goes_next(desk: Any) -> None:
    table = desk(POLICY, 2)
    # Nothing given yet: the lower index. Then 0 has 20, so 1 (0) catches up; at 20 each the lower index.
    assert table.decide({0: _served(0), 1: _served(0)}) == 0
    assert table.decide({0: _served(10), 1: _served(0)}) == 1
    assert table.decide({0: _served(10), 1: _served(10)}) == 0


def test_idle_time_is_not_saved_up(desk: Any) -> None:
    table = desk(POLICY, 2)
    table.decide({0: _served(0)})
    # Tenant 0 worked alone until it had 200. Tenant 1 comes back with 0 given, but starts at the 200 that
    # tenant 0 had when it last decided: equal, so the lower index goes; then tenant 1's turn.
    assert table.decide({0: _served(100)}) == 0
    assert table.decide({0: _served(100), 1: _served(0)}) == 0
    assert table.decide({0: _served(110), 1: _served(0)}) == 1
    # After 10 + 10 cycles tenant 1 is level with tenant 0 at 220: no monopoly to make up for the past.
    assert table.decide({0: _served(110), 1: _served(10)}) == 0
