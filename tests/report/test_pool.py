"""A page of a pool has its NPUs."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from layerweaver.backend_sim.report.page import build_report
from layerweaver.backend_sim.report.tables import pool_table
from layerweaver.backend_sim.results.reading import read_documents
from layerweaver.backend_sim.study.simulate import compare, simulate


def _keys(**npus: Any) -> dict[str, Any]:
    arrival = {"kind": "poisson", "qps": 400, "seed": 1}
    tenant = {"name": "one", "model": "zoo:ncf", "deadline_ms": 5, "arrival": arrival}
    return {**npus, "duration_s": 0.2, "tenants": [tenant, {**tenant, "name": "<two>"}]}


def test_the_npus_of_a_pool_stand_on_its_page() -> None:
    pool = [{"npu": "memory-centric", "count": 2}, {"npu": "tpu-v5e"}]
    document = compare(_keys(pool=pool, router="round_robin"), ["fcfs", "edf"])
    table = pool_table(read_documents([document]))
    assert table is not None
    assert [row[:2] for row in table.rows] == [
        [policy, f"{npu}#{place}"]
        for place, npu in enumerate(("memory-centric", "memory-centric", "tpu-v5e"))
        for policy in ("fcfs", "edf")
    ]
    for run in document["runs"]:
        mine = [row for row in table.rows if row[0] == run["policy"]]
        assert [row[5:8] for row in mine] == [
            [npu["arrived"], npu["completed"], npu["dropped"]] for npu in run["npus"]
        ]
        assert sum(int(str(row[5])) for row in mine) == sum(tenant["arrived"] for tenant in run["tenants"])
    first = document["runs"][0]["npus"][0]["requests"]
    assert table.rows[0][-1] == f"one {first['one']}, <two> {first['<two>']}"
    page = build_report([document])
    found = re.search(r'<table id="npus">(.*?)</table>', page, re.DOTALL)
    assert found is not None
    assert "tpu-v5e#2" in unescape(found.group(1))
    assert "<two>" not in found.group(1)


def test_one_npu_has_no_such_table() -> None:
    assert pool_table(read_documents([simulate(_keys(npu="memory-centric"))])) is None
