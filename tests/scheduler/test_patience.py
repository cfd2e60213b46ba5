"""Whose deadlines decide whether a batch starts before its delay is over."""

from __future__ import annotations

import pytest

from layerweaver.scheduler.machine.view import NEVER
from layerweaver.scheduler.rules.patience import hurries, shortest_others


@pytest.mark.parametrize(
    ("limits", "others"),
    [
        ([], []),
        ([5], [NEVER]),
        ([5, 3], [3, 5]),
        ([3, 5, 3], [3, 3, 3]),
        ([NEVER, 7, 9], [7, 9, 7]),
        ([NEVER, NEVER], [NEVER, NEVER]),
    ],
)
def test_the_shortest_limit_of_the_others(limits: list[int], others: list[int]) -> None:
    assert shortest_others(limits) == others


@pytest.mark.parametrize(("shortest", "expected"), [(99, False), (100, True), (NEVER, True)])
def test_no_batch_hurries_beside_a_far_tighter_tenant(shortest: int, expected: bool) -> None:
    assert hurries(3200, shortest) is expected
