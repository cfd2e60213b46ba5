"""Remaining times of long models: what a plain run of every suffix gives, in linear time."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hostile.guard import bounded
from hypothesis import given
from hypothesis import strategies as st
from oracles.naive_machine import NaiveMachine, RowCost

from layerweaver.costmodel.machine import MachineSpec
from layerweaver.costmodel.table import CostTable
from layerweaver.scheduler.offline import build_offline, remaining_cycles


def table_of(machine: MachineSpec, rows: list[tuple[int, int, int]]) -> CostTable:
    compute, dram, weights = np.array(rows, np.int64).T
    return CostTable(
        model="m",
        batch=1,
        machine=machine,
        compute_cycles=compute,
        dram_bytes=dram,
        weight_bytes=weights,
        live_bytes=np.zeros(len(rows), np.int64),
        layer_index=np.arange(len(rows)),
        layer_names=tuple(map(str, range(len(rows)))),
    )


@given(data=st.data())
def test_remaining_times_are_those_of_a_run_from_every_row(data: st.DataObject) -> None:
    numerator, denominator, buffer = (data.draw(st.integers(1, most)) for most in (40, 20, 60))
    machine = MachineSpec("unit", 10**9, numerator, denominator, buffer)
    rows = []
    for weight in data.draw(st.lists(st.integers(0, buffer), min_size=1, max_size=12)):
        rows.append((data.draw(st.integers(0, 90)), weight + data.draw(st.integers(0, 60)), weight))
    expected = []
    for first in range(len(rows)):
        naive = NaiveMachine(buffer, Fraction(numerator, denominator))
        for compute, dram, weight in rows[first:]:
            row = RowCost(compute, dram, weight, 0, 0)
            appended = naive.append(row, naive.tm)
            naive.tm, naive.tc = appended.fetch_end, appended.compute_end
            naive.fetched.append((weight, appended.compute_end))
        expected.append(naive.tc)
    assert remaining_cycles(table_of(machine, rows)).tolist() == [*expected, 0]


def test_a_hundred_thousand_rows_are_prepared_in_seconds() -> None:
    table = table_of(MachineSpec("unit", 10**9, 13, 7, 5000), [(900, 4000, 3000)] * 100_000)
    with bounded():
        assert build_offline(table).remaining_cycles[0] > 0
