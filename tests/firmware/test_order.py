"""C computes parts of expressions in any order: what depends on it is refused, other things decide alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from firmware.conftest import compare
from firmware.test_edges import equal_tenants

from layerweaver.ir import PolicyError

POLICY = """
from typing import Any
from layerweaver.scheduler.policies.contract import Memory, PolicySpec, View


class Common:
    count: int
    other: int


class Own:
    turns: int


def bump(common: Any) -> int:
    common.count = (common.count * 5 + 1) % 8
    return common.count


def twice(a: int, b: int) -> int:
    return a * 2 + b if a > b else a + 3 * b


def again(common: Any) -> int:
    return 1 + bump(common)


def choose(view: View, options: Any, memory: Memory) -> int:
    common, x = memory.common, 0
    LINES
    return view.ready[x % view.machine.ready_count]


POLICY = PolicySpec("mine", choose, "order of calls", memory=Own, common=Common)
"""


def written(folder: Path, lines: str) -> Path:
    path = folder / "mine.py"
    path.write_text(POLICY.replace("LINES", lines.replace("; ", "\n    ")))
    return path


@pytest.mark.parametrize(
    "line",
    [
        "x = twice(bump(common), bump(common))",
        "x = twice(common.count, again(common))",
        "x = twice(again(common), common.count)",
        "x = common.count + 2 * again(common)",
        "x = min(bump(common), 3 + bump(common), 5)",
        "x = 1 if bump(common) < common.count else 0",
        "common.other, x = common.count, bump(common)",
        "common.count += bump(common)",
        "x = abs(bump(common) - 4)",
        "own = memory.tenants[bump(common) % view.machine.tenant_count]; own.turns += 1; x = own.turns",
        "memory.tenants[common.count % 2].turns = bump(common); x = memory.tenants[0].turns",
    ],
)
def test_what_depends_on_the_order_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="a call changes what is read beside it") as refused:
        compare(equal_tenants(tmp_path), written(tmp_path, line), tmp_path)
    assert refused.value.accepted == "name the result first"


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    "lines",
    [
        "y = common.count; x = y + bump(common) * 3 + y",
        "x = bump(common) if common.count > 2 else 5 + bump(common); x = 3 * x + common.count",
        "if common.count > 2 and bump(common) > 3 or not bump(common) < 2: x = 3",
        "x = bump(common) + twice(3, view.machine.ready_count) * common.other; common.other = x % 5",
        "if 3 not in (again(common), 6): x = 1",
        "return view.ready[again(common) % view.machine.ready_count]",
    ],
)
def test_what_does_not_decides_alike(lines: str, tmp_path: Path) -> None:
    assert compare(equal_tenants(tmp_path), written(tmp_path, lines), tmp_path) > 100
