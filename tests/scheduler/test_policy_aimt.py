from __future__ import annotations

from typing import Any

from layerweaver.scheduler.policies.aimt import POLICY

# Compute per fetch: 40 / 10 = 4 against 5 / 50 = 0.1.
HEADS = {
    0: {"compute_cycles": 40, "fetch_cycles": 10},
    1: {"compute_cycles": 5, "fetch_cycles": 50},
}


def test_idle_arrays_are_refilled_with_compute(desk: Any) -> None:
    table = desk(POLICY, 2, block_bytes=20)
    # One byte per cycle: 15 cycles of fetched work do not hide a block of 20 bytes.
    assert table.decide(HEADS, start=100, compute_end=115) == 0
    assert table.mode == "refill"


def test_busy_arrays_hide_an_early_memory_block(desk: Any) -> None:
    table = desk(POLICY, 2, block_bytes=20)
    assert table.decide(HEADS, start=100, compute_end=121) == 1
    assert table.mode == "prefetch"


def test_a_full_share_is_drained_by_the_least_compute(desk: Any) -> None:
    table = desk(POLICY, 2, prefetch_share=0.5)
    # 501 of 1000 bytes are taken, more than the half that may be filled early.
    assert table.decide(HEADS, free_scaled=499) == 1
    assert table.mode == "evict"
    assert table.decide(HEADS, free_scaled=500) == 0
