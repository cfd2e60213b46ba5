"""The command ``export``: what it writes, what it says, and what it refuses in one line."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from firmware.conftest import Keys, random_scenario, replayed

from layerweaver.__main__ import main
from layerweaver.backend_sim.firmware.export import Exported, export, export_document, translated
from layerweaver.backend_sim.study.inputs import as_prepared, policy_of
from layerweaver.ir import LayerweaverError, OutputError, PolicyError, ScenarioError

FILES = ["lw_tables.h", "lw_tables.c", "lw_sched.h", "lw_sched.c", "lw_replay.c", "Makefile", "README.md"]

HEADER = """
from typing import Any
import math
import random
from layerweaver.scheduler.policies.contract import Memory, PolicySpec, View


class Kept:
    weight: float


def again(n: int) -> int:
    return again(n - 1) if n > 0 else 0


def one(n: int) -> int:
    return n + 1 if n > 0 else 1


def choose(view: View, options: Any, memory: Memory) -> int:
    head = view.heads[view.ready[0]]
"""
FOOTER = """
    return view.ready[0]


POLICY = PolicySpec("mine", choose, "wrong on purpose", memory=Kept)
"""


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return random_scenario(1, tmp_path, 50, 4)


def exported(keys: Keys, policy: Any, folder: Path) -> Exported:
    return export(keys, policy, folder)


def test_what_is_written(keys: Keys, tmp_path: Path) -> None:
    made = exported(keys, "layerweaver+", tmp_path / "deep" / "er")
    assert sorted(path.name for path in (tmp_path / "deep" / "er").iterdir()) == sorted(FILES)
    document = export_document(made)
    assert document["policy"] == "layerweaver+"
    assert document["policy_options"] == made.policy.as_options()
    assert document["scenario"]["policy"] == {"name": "layerweaver+", **made.policy.as_options()}  # type: ignore[index]
    assert document["files"] == FILES
    sizes = re.findall(r"(\d+) bytes \*/", made.texts["lw_tables.c"])
    assert sum(map(int, sizes)) == document["table_bytes"]


def test_the_log_has_the_replayed_rows_and_those_that_timed_out(tmp_path: Path) -> None:
    arrival = {"kind": "poisson", "qps": 60000, "seed": 1}
    tenant = {"name": "eye", "model": "zoo:ncf", "queue": {"timeout_ms": 0.001}, "arrival": arrival}
    scenario = {"npu": "memory-centric", "policy": "fcfs", "duration_s": 0.01, "tenants": [tenant]}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(scenario), encoding="utf-8")
    assert main(["-q", "simulate", str(tmp_path / "one.yaml"), "--log", str(tmp_path / "log.csv")]) == 0
    with (tmp_path / "log.csv").open(newline="", encoding="utf-8") as stream:
        logged = list(csv.DictReader(stream))
    rows = [row for row in logged if row["mode"] != "timed out"]
    assert 0 < len(rows) < len(logged)
    prepared = as_prepared(scenario)
    decided = replayed(prepared, policy_of(prepared, "fcfs"), tmp_path / "c")
    columns = ("decided_at_cycles", "tenant", "request", "row")
    assert decided == [tuple(row[name] for name in columns) for row in rows]
    assert "but for its lines of requests that timed out" in (tmp_path / "c" / "README.md").read_text()


def test_the_same_bytes_again(keys: Keys, tmp_path: Path) -> None:
    assert (
        exported(keys, "slackweave+", tmp_path / "a").texts
        == exported(keys, "slackweave+", tmp_path / "b").texts
    )


@pytest.mark.parametrize("policy", ["layerweaver+", "slackweave+", "fair"])
def test_the_size_of_the_state(policy: str, keys: Keys, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path / "out"
    made = exported(keys, policy, folder)
    main = 'int main(void) { printf("%d", (int)sizeof(lw_scheduler)); }'
    main = '#include <stdio.h>\n#include "lw_sched.h"\n' + main + "\n"
    (folder / "size.c").write_text(main)
    subprocess.run(["cc", "size.c", "-o", "size"], cwd=folder, check=True)
    printed = subprocess.run(["./size"], cwd=folder, check=True, capture_output=True).stdout
    size = int(printed)
    pointers = made.texts["lw_sched.h"].split("} lw_head;")[0].rsplit("{", 1)[1].count("*")
    assert made.state_bytes <= size <= made.state_bytes + (4 * pointers + 8) * made.tenants + 8


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("x = head.remaining_cycles / 2", "/ is floating point"),
        ("x = 0.5\n    if head.row > x: return 0", "x is floating point"),
        ("x = float(head.row)", "float is floating point"),
        ("x = math.sqrt(head.row)", "math.sqrt cannot be called"),
        ("x = [head.row for _ in range(3)][0]", "ListComp is not translated"),
        ("for t in view.ready: pass", "for over view.ready is not translated"),
        ("if memory.tenants[0].weight > 1: return 0", "memory.tenants[0].weight is floating point"),
        ("memory.tenants[0].weight = 1", "memory.tenants[0].weight is floating point"),
        ("x = again(3)", "again calls itself"),
        ("try:\n        x = 1\n    except ValueError: pass", "Try is not translated"),
        ("x = head.colour", "there is no head.colour"),
        ("x = 1 << head.row", "shifts by what is not a constant"),
        ("x = {1: 2}", "Dict is not translated"),
        ("return head", "head is returned"),
        ("with open('x') as f: pass", "With is not translated"),
        ("x = view.ready[0:2]", "slices are not translated"),
        ("import os", "Import is not translated"),
        ("x = lambda: 1", "Lambda is not translated"),
        ("x = 3 ** head.row", "Pow is not translated"),
        ("x = 1 << 70", "constant from 0 to 62"),
        ("x = 10 ** 30", "does not fit 64 bits"),
        ("if (head.row, 1) < (2, 3, 4): return 0", "tuples as long"),
        ("if (head.row, view) < (2, 3): return 0", "tuples as long"),
        ("if (again(3), 1) < (2, 3): return 0", "again calls itself"),
        ("if (one(head.row), 1) < (2, 3): return 0", "tuples with calls are not compared"),
        ("if head.row not in (1, one(head.row)): return 0", "tuples with calls are not compared"),
    ],
)
def test_what_cannot_be_translated(lines: str, what: str, keys: Keys, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"{HEADER}    {lines}{FOOTER}")
    with pytest.raises(PolicyError) as refused:
        exported(keys, file, tmp_path / "out")
    text = str(refused.value)
    assert what in text
    assert "mine.py line " in text
    assert "\n" not in text
    assert not (tmp_path / "out").exists()
    line = int(text.split("mine.py line ")[1].split(",", maxsplit=1)[0])
    body = file.read_text().splitlines()
    assert HEADER.count("\n") <= line <= len(body) or what == "again calls itself"


def test_shipped_policies_with_floating_point(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"dysta.py line \d+, in choose: .*floating point"):
        exported(keys, "dysta", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"pool": [{"npu": "memory-centric", "count": 2}], "npu": None}, "a pool of 2 NPUs is not exported"),
        ({"batch": {"auto": True, "max": 4, "sizes": [4]}}, "batches that the scheduler chooses"),
        ({"arrival": {"kind": "closed_loop", "concurrency": 2}}, "closed_loop wait for the NPU"),
        ({"arrival": {"kind": "saturated"}}, "saturated wait for the NPU"),
    ],
)
def test_scenarios_that_are_not_exported(
    change: dict[str, Any], what: str, keys: Keys, tmp_path: Path
) -> None:
    if "pool" in change:
        keys = {key: value for key, value in (keys | change).items() if value is not None}
    else:
        first = keys["tenants"][0] | change
        if "batch" in change:
            first["model"] = {"costs": {"4": str(tmp_path / "0.csv")}}
        keys["tenants"][0] = first
    with pytest.raises(ScenarioError, match=what):
        exported(keys, "edf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_that_are_too_large(keys: Keys) -> None:
    prepared = as_prepared(keys)
    with pytest.raises(ScenarioError, match=r"its tables have [\d,]+ bytes; at most 10; --max-bytes \d+"):
        translated(prepared, policy_of(prepared, "edf"), most_bytes=10)


def test_a_folder_that_is_a_file(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError):
        exported(keys, "edf", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
    (tmp_path / "folder" / "lw_sched.c").mkdir(parents=True)
    with pytest.raises(LayerweaverError):
        exported(keys, "edf", tmp_path / "folder")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["lw_sched.c"]


def test_what_gets_two_names_is_computed_once(keys: Keys, tmp_path: Path) -> None:
    text = HEADER.replace("return again(n - 1) if n > 0 else 0", "return n + 1")
    file = tmp_path / "mine.py"
    file.write_text(f"{text}    a = b = again(head.queued)\n    if a + b > 6: return view.ready[0]{FOOTER}")
    assert exported(keys, file, tmp_path / "out").texts["lw_sched.c"].count("= policy_again(") == 1
