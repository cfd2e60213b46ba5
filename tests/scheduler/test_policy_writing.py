"""What a policy may write: what it remembers, and nothing that it is shown or that its module holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerweaver.ir import PolicyError
from layerweaver.scheduler.policies import load_policy

FILE = """from typing import NamedTuple

import numpy as np

from layerweaver.scheduler.policies.contract import PolicySpec

COUNT, TAKEN, SEEN, LIMITS = 0, [0], {{}}, np.zeros(4, dtype=np.int64)


class Tables(NamedTuple):
    turns: np.ndarray


class Turns:
    taken: int


def prepare(tenants):
    return Tables(np.zeros(len(tenants), dtype=np.int64))


def count(taken):
    taken[0] += 1


def choose(view, options, memory):
    {body}
    return view.ready[0]


POLICY = PolicySpec("turns", choose, "turns", memory=Turns, prepare=prepare)
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("view.ready[0] = 1", "changes an entry of ready in line 27"),
        ("view.heads[0] = view.heads[1]", "changes an entry of heads in line 27"),
        ("rows = view.heads; rows[0] = rows[1]", "changes an entry of heads in line 27"),
        ("machine, rows = view.machine, view.fetches; rows[0] = rows[1]", "an entry of fetches in line 27"),
        ("global COUNT; COUNT += 1", "names COUNT in line 27"),
        ("TAKEN.append(1)", "names TAKEN in line 27"),
        ("count(TAKEN)", "names TAKEN in line 27"),
        ("SEEN[0] = 1", "names SEEN in line 27"),
        ("LIMITS[0] += 1", "names LIMITS in line 27"),
        ("now = COUNT + LIMITS[0]", ""),
        ("memory.tables.turns[0] += 1", ""),
        ("ready = memory.tables.turns; ready[0] = 1", ""),
        ("count(memory.tables.turns)", ""),
        ("memory.tenants[0].taken += 1", ""),
        ("head = view.heads[0]; x = [head.row for _ in range(3)]", ""),
        ("view.spare[0] = view.ready[0]", ""),
    ],
)
def test_a_policy_writes_what_it_remembers_only(tmp_path: Path, body: str, said: str) -> None:
    path = tmp_path / "turns.py"
    path.write_text(FILE.format(body=body), encoding="utf-8")
    if not said:
        assert load_policy(str(path)).name == "turns"
        return
    with pytest.raises(PolicyError, match=f"{said} of turns.py") as caught:
        load_policy(str(path))
    assert "\n" not in str(caught.value)
