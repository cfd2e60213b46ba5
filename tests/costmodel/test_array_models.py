"""Array models against SCALE-Sim's figures and a naive count, fold by fold."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerweaver.backend_sim.study.reproduce.scalesim import reproduce_scalesim
from layerweaver.costmodel.compute.arrays import (
    ArrayModel,
    ArrayWork,
    checked_cycles,
    input_stationary,
    mac_grid,
    output_stationary,
    weight_stationary,
)
from layerweaver.costmodel.compute.tiles import tile_costs
from layerweaver.costmodel.npu.fields import Split
from layerweaver.costmodel.npu.sections import ArrayConfig
from layerweaver.ir import ModelError

HEADS = 12
BERT_REPEATS = (12, 12, 12, 12 * HEADS, 12 * HEADS, 12, 12, 12)


def products(name: str) -> ArrayWork:
    text = (
        resources.files("layerweaver.backend_sim.study.reproduce.data")
        .joinpath(f"scalesim_{name}.csv")
        .read_text()
    )
    rows = [[int(row[axis]) for axis in "MNK"] for row in csv.DictReader(text.splitlines())]
    m, n, k = np.array(rows, dtype=np.int64).T
    return ArrayWork.products(m, n, k)


def one(m: int, n: int, k: int, groups: int = 1) -> ArrayWork:
    extents = np.array([[m], [n], [k]], dtype=np.int64)
    return replace(ArrayWork.products(*extents), groups=np.array([groups], dtype=np.int64))


@pytest.mark.parametrize(
    ("name", "size", "model", "total"),
    [
        ("resnet50_128x128_ws", 128, weight_stationary, 876_832),
        ("resnet50_128x128_ws", 128, output_stationary, 611_561),
        ("resnet50_128x128_ws", 128, input_stationary, 997_762),
        ("resnet50_128x128_ws", 32, weight_stationary, 5_753_486),
        ("resnet50_128x128_ws", 32, output_stationary, 4_434_168),
        ("resnet50_128x128_ws", 32, input_stationary, 5_608_356),
        ("bert_base_384_128x128_ws", 128, weight_stationary, 4_632_408),
        ("bert_base_384_128x128_ws", 128, output_stationary, 3_171_816),
        ("bert_base_384_128x128_ws", 128, input_stationary, 3_641_832),
    ],
)
def test_serial_totals_equal_scalesim(name: str, size: int, model: ArrayModel, total: int) -> None:
    array = ArrayConfig(rows=size, columns=size, double_buffered=False)
    repeats = np.array(BERT_REPEATS) if name.startswith("bert") else 1
    assert int(((model(products(name), array) - 1) * repeats).sum()) == total


def test_every_layer_equals_scalesim() -> None:
    assert reproduce_scalesim() == {"count": 62, "exact": 62}


def naive_fold_by_fold(
    extents: tuple[int, int, int], shape: tuple[int, int], groups: int, held: bool, options: tuple[bool, int]
) -> int:
    """Walk the folds of one array: ``extents`` are those on rows, on columns and streamed."""
    (on_rows, on_columns, stream), (rows, columns) = extents, shape
    overlap, rows_per_cycle = options
    fill = len(range(0, rows, rows_per_cycle))
    cycles = 0
    folds = [
        (group, row, column)
        for group in range(groups)
        for row in range(0, on_rows, rows)
        for column in range(0, on_columns, columns)
    ]
    for index, _ in enumerate(folds):
        first, last = index == 0, index == len(folds) - 1
        if held and (first or not overlap):
            cycles += fill
        if overlap and not last:
            cycles += max(stream, fill)
        else:
            cycles += stream + (rows - 1) + (columns - 1)
    return cycles


@settings(max_examples=150, deadline=None)
@given(
    extents=st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60)),
    groups=st.integers(1, 4),
    shape=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    options=st.tuples(st.booleans(), st.integers(1, 20)),
)
def test_systolic_models_equal_the_naive_walk(
    extents: tuple[int, int, int], groups: int, shape: tuple[int, int], options: tuple[bool, int]
) -> None:
    (m, n, k), (rows, columns), (overlap, rows_per_cycle) = extents, shape, options
    array = ArrayConfig(
        rows=rows, columns=columns, double_buffered=overlap, load_rows_per_cycle=rows_per_cycle
    )
    for model, axes, held in (
        (weight_stationary, (k, n, m), True),
        (input_stationary, (k, m, n), True),
        (output_stationary, (m, n, k), False),
    ):
        counted = naive_fold_by_fold(axes, shape, groups, held, options)
        assert model(one(m, n, k, groups), array).tolist() == [counted]


@settings(max_examples=100, deadline=None)
@given(
    m=st.integers(1, 200),
    n=st.integers(1, 200),
    k=st.integers(1, 200),
    count=st.integers(2, 9),
    grid=st.booleans(),
)
def test_sharing_arrays_never_hurts_and_best_is_the_least(
    m: int, n: int, k: int, count: int, grid: bool
) -> None:
    model = mac_grid if grid else weight_stationary
    alone = int(model(one(m, n, k), ArrayConfig(rows=8, columns=8))[0])
    by_split = {
        split: int(model(one(m, n, k), ArrayConfig(rows=8, columns=8, count=count, split=split))[0])
        for split in (Split.FOLDS, Split.EVEN, Split.CHANNELS, Split.ROWS, Split.BEST)
    }
    assert by_split.pop(Split.EVEN) <= by_split[Split.FOLDS]
    assert by_split[Split.BEST] == min(by_split.values())
    assert max(by_split.values()) <= alone
    assert by_split[Split.BEST] * count * 64 >= m * n * k


@pytest.mark.parametrize("overlapped", [True, False])
def test_arrays_that_share_evenly_work_equally_long_though_no_less_than_a_fold(overlapped: bool) -> None:
    even, folds = (
        ArrayConfig(rows=8, columns=8, count=4, split=split, double_buffered=overlapped)
        for split in (Split.EVEN, Split.FOLDS)
    )

    def cycles(array: ArrayConfig, blocks: int) -> int:
        return int(weight_stationary(one(100, 8 * blocks, 8), array)[0])

    assert all(cycles(even, blocks) == cycles(folds, blocks) for blocks in (1, 3, 4, 8, 12))
    one_fold, two_folds = cycles(even, 4), cycles(even, 8)
    assert cycles(even, 5) == one_fold + -(-(two_folds - one_fold) // 4)
    assert cycles(folds, 5) == two_folds
    grid = ArrayConfig(rows=8, columns=8, count=4, split=Split.EVEN, dataflow="mac_grid")
    assert mac_grid(one(100, 8 * 5, 8), grid).tolist() == [125]


def test_groups_pack_block_diagonally() -> None:
    array = ArrayConfig(rows=32, columns=32, double_buffered=False, pack_groups=True)
    # Three groups of 9 x 1 fit beside each other on 32 rows.
    packed = weight_stationary(one(100, 1, 9, groups=9), array)
    assert packed.tolist() == [math.ceil(9 / 3) * (100 + 64 + 30)]


def test_mac_grid_counts_blocks() -> None:
    array = ArrayConfig(rows=16, columns=4, pixels=2, dataflow="mac_grid")
    assert mac_grid(one(7, 9, 20), array).tolist() == [
        math.ceil(20 / 16) * math.ceil(9 / 4) * math.ceil(7 / 2)
    ]


def test_overflow_is_refused() -> None:
    huge = np.array([2**40], dtype=np.int64)
    with pytest.raises(ModelError, match=r"2\^62"):
        checked_cycles(huge, huge)


def test_tiles_count_attention_head_by_head() -> None:
    array = ArrayConfig(
        rows=128, columns=128, count=4, split=Split.TILES, scratchpad_kib=32768, accumulator_kib=4096
    )
    extents = [np.array(values) for values in ([128, 384, 1], [64, 64, 64], [128, 384, 77])]
    one, yes = np.ones(3, dtype=np.int64), np.ones(3, dtype=np.bool_)
    m, n, k = extents
    work = ArrayWork(m, n, k, 12 * one, one, one, one, one, ~yes, scores=~yes, context=yes)
    assert tile_costs(work, array).cycles.tolist() == [3 * m * 64 + 254 for m in (128, 384, 1)]
    scores = replace(work, n=k, k=n, scores=yes, context=~yes)
    assert tile_costs(scores, array).cycles.tolist() == [
        3 * (rows * n + 254 + 2 * m) for rows, n, m in ((1, 128, 128), (3, 384, 384), (1, 77, 1))
    ]
    # Where nothing is attention, products of activations follow each other on one array.
    other = replace(work, context=~yes)
    twice = tile_costs(replace(other, groups=2 * other.groups), array).cycles
    assert twice.tolist() == (2 * tile_costs(other, array).cycles).tolist()


def test_tiles_wait_for_their_inputs_and_no_port_is_overrun() -> None:
    array = ArrayConfig(
        rows=128, columns=128, count=4, split=Split.TILES, scratchpad_kib=32768, accumulator_kib=4096
    )
    pixels = np.array([56 * 56, 14 * 14])
    n, k, kernel = np.array([64, 1024]), np.array([64, 8]), np.array([9, 1])
    one = np.ones(2, dtype=np.int64)
    rows, kernel_rows = np.array([56, 14]), np.array([3, 1])
    work = ArrayWork(
        pixels, n, k, one, kernel, kernel_rows, rows, rows, one.astype(np.bool_), reads=pixels * k
    )
    free = tile_costs(work, array).cycles.tolist()
    # One tile that computes for longer than its port is busy: its inputs come first.
    wide = tile_costs(work, array.model_copy(update={"port_bytes_per_cycle": 256})).cycles.tolist()
    assert wide[0] == free[0] + math.ceil(56 * 56 * 64 * 2 / 256)
    # Results of 14 x 14 x 1024 through narrow ports take longer than making them.
    narrow = tile_costs(work, array.model_copy(update={"port_bytes_per_cycle": 8})).cycles.tolist()
    assert free[1] < 14 * 14 * 1024 * 2 / 8 / 4 <= narrow[1] < 1.5 * 14 * 14 * 1024 * 2 / 8
    assert tile_costs(replace(work, reads=None), array).cycles.tolist() == free
