"""What is exported decides as what is simulated: every row of every decision, in random scenarios."""

from __future__ import annotations

from pathlib import Path

import pytest
from firmware.conftest import POLICIES, compare, random_scenario

from layerweaver.scheduler.policies.words import read_policy_words

MINE = '''
from dataclasses import dataclass
from typing import Any

from layerweaver.scheduler.policies.contract import HOLD, Memory, PolicySpec, View

WEIGHTS = (3, 5, 7)


@dataclass(frozen=True, slots=True)
class Options:
    patience_us: float = 3.0
    turns: int = 4


class Account:
    taken: int
    last: int


def score(head: Any, now: int, *, scale: int = 3) -> tuple[int, int]:
    """Two numbers, one of them rounded down from below zero."""
    waited = now - head.since
    left = (head.deadline - now) // 7 if head.deadline < 2**62 else 10**9
    return left % 5 - waited // -scale, max(abs(left), waited, head.row) >> 2


def late(head: Any, now: int) -> bool:
    first, _ = score(head, now)
    return first < 0


def choose(view: View, options: Any, memory: Memory) -> int:
    machine, heads, ready = view.machine, view.heads, view.ready
    best, least, second = -1, 0, 0
    for k in range(machine.ready_count - 1, -1, -1):
        tenant = ready[k]
        head, account = heads[tenant], memory.tenants[tenant]
        first, other = score(head, machine.now)
        if account.last in (1, 2) and not first > 3 or head.queued > 9:
            first -= WEIGHTS[1] * head.batch
        while other > 1000:
            other //= 10
        first, other = other + account.taken % options.turns, first
        if best < 0 or (first, other) == (least, second) if False else best < 0 or first < least:
            best, least, second = tenant, first, other
        account.last = k
    account = memory.tenants[best]
    account.taken += 1
    if (options.turns > 0 or late(head, machine.now)) and machine.queued % 5 == 2:
        best = ready[0]
    if (late(head, machine.now) or options.turns > 0) and machine.queued % 7 == 3:
        best = ready[machine.ready_count - 1]
    if machine.compute_end - machine.start > 20 * options.patience_cycles and memory.common.held < 2:
        memory.common.held += 1
        machine.hold_until = machine.now + 3
        return HOLD
    if (machine.room_scaled + machine.queued + head.row) % 11 == 3 and machine.compute_end > machine.now:
        machine.hold_until = machine.now + 5
        return HOLD
    memory.common.held = 0
    return best


class Common:
    held: int


POLICY = PolicySpec("mine", choose, "odd on purpose", options=Options, memory=Account, common=Common)
'''

KEYS = """
from typing import Any

from layerweaver.scheduler.policies.contract import Memory, PolicySpec, View


def choose(view: View, options: Any, memory: Memory) -> int:
    machine, heads, ready = view.machine, view.heads, view.ready
    best, least, before = -1, (0, 0, 0), (0, 0, 0)
    for k in range(machine.ready_count):
        head = heads[ready[k]]
        key = (min(head.row, 3), head.deadline, -ready[k])
        key_0 = head.queued
        if best < 0 or key < least or (key >= before and key[2] != 0 and key_0 > 5):
            before, least = least, key
            best = ready[k]
    other, second = ready[0], (heads[ready[0]].row, 7)
    for k in range(1, machine.ready_count):
        pair = heads[ready[k]].row, 7
        if pair > second or (pair <= (2, 7) and (2, k) in (pair, second)):
            other, second = ready[k], pair
    first, last = second
    return best if (first, last) == (0, 7) or least != (0, least[1], least[2]) else other


POLICY = PolicySpec("keys", choose, "by tuples")
"""


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("seed", range(20))
def test_a_random_scenario(seed: int, tmp_path: Path) -> None:
    keys = random_scenario(seed, tmp_path, 150, 10)
    policy = read_policy_words(POLICIES[seed % len(POLICIES)])
    assert compare(keys, policy, tmp_path) > 0


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("text", [MINE, KEYS], ids=["odd", "keys"])
def test_a_policy_of_ones_own(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    for seed in (3, 14):
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert compare(random_scenario(seed, folder, 300, 8), file, folder) > 300


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("policy", ["layerweaver+", "layerweaver", "edf:commit=early"])
def test_counters_that_begin_again(policy: str, tmp_path: Path) -> None:
    """Bytes and positions are counted from low numbers again long before they could overflow."""
    flags = "CFLAGS=-O0 -DLW_MOST_COUNTED=1000000 -DLW_MOST_POSITIONS=9000 -DLW_NEAR=400000 -DLW_UNNOTED=3"
    keys = random_scenario(1, tmp_path, 2000, 6)
    assert compare(keys, read_policy_words(policy), tmp_path, flags) > 9000


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("part", range(20))
def test_a_million_decisions(part: int, tmp_path: Path) -> None:
    """Ten scenarios in each of twenty parts; each part has a twentieth of a million decisions."""
    decisions = 0
    for number in range(10):
        seed, folder = 1000 + 10 * part + number, tmp_path / str(number)
        folder.mkdir()
        policy = read_policy_words(POLICIES[seed % len(POLICIES)])
        keys = random_scenario(seed, folder, 3000)
        decisions += compare(keys, policy, folder, "CFLAGS=-O1", compiled=True)
    assert decisions >= 50_000


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("seed", range(len(POLICIES)))
def test_sanitizers_find_nothing(seed: int, tmp_path: Path) -> None:
    flags = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
    keys = random_scenario(500 + seed, tmp_path, 2000)
    policy = read_policy_words(POLICIES[seed])
    assert compare(keys, policy, tmp_path, f"CFLAGS={flags}", f"LDFLAGS={flags}", compiled=True) > 0


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("policy", ["layerweaver+", "fair", "edf:commit=early"])
def test_late_times_and_long_pauses(policy: str, tmp_path: Path) -> None:
    """Times in 32 bits count from an epoch that follows, whatever the pauses are and when the run begins."""
    keys = random_scenario(4, tmp_path, 400, 4)
    for index, tenant in enumerate(keys["tenants"]):
        times = [
            40_000 + 3 * query + index % 2 + 1.37e-5 * query * (query % 7) + 2.5 * (query // 30)
            for query in range(100)
        ]
        trace = tmp_path / f"trace{index}.csv"
        lines = [f"any,{round(1e9 * time)}" for time in sorted(times)]
        trace.write_text("\n".join(["tenant,arrival_ns", *lines]) + "\n")
        tenant["arrival"] = {"kind": "trace", "file": str(trace), "tenant": "*"}
    del keys["min_queries"]
    keys["duration_s"] = 50_000
    assert compare(keys, read_policy_words(policy), tmp_path) > 400
