from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layerweaver.backend_sim.study.inputs import as_prepared
from layerweaver.backend_sim.study.least_late import least_late
from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.ir import ScenarioError


def _scenario(folder: Path, arrival: dict[str, Any], **keys: Any) -> dict[str, Any]:
    costs = folder / "costs.csv"
    costs.write_text("layer,compute_cycles,dram_bytes,weight_bytes\nx,400000,9000000,9000000\n")
    tenant = {"model": {"costs": str(costs)}, "deadline_ms": 2.0}
    return {
        "npu": "memory-centric",
        "tenants": [
            tenant | {"name": "a", "arrival": arrival | {"seed": 1}},
            tenant | {"name": "b", "deadline_ms": 8.0, "arrival": arrival | {"seed": 2}},
        ],
        **keys,
    }


def test_policies_lose_at_least_what_nobody_can_save(tmp_path: Path) -> None:
    given = _scenario(tmp_path, {"kind": "poisson", "qps": 800}, duration_s=2, warmup_s=0.1)
    prepared = as_prepared(given)
    bound = least_late(prepared)
    assert 0.02 < bound.late_share < 0.2
    for policy in ("fcfs", "edf", "layerweaver+"):
        tenants: Any = simulate(prepared, policy)["tenants"]
        assert sum(tenant["arrived"] for tenant in tenants) == bound.requests
        lost = sum(tenant["violation_rate"] * tenant["arrived"] for tenant in tenants)
        assert lost >= bound.late_share * bound.requests - 1e-6


def test_only_for_one_npu_and_arrivals_by_the_clock(tmp_path: Path) -> None:
    loop = _scenario(tmp_path, {"kind": "closed_loop", "concurrency": 2}, duration_s=1)
    for tenant in loop["tenants"]:
        del tenant["arrival"]["seed"]
    with pytest.raises(ScenarioError, match="wait for the NPU"):
        least_late(loop)
    pool = _scenario(tmp_path, {"kind": "poisson", "qps": 10}, duration_s=1)
    pool["pool"] = [{"npu": pool.pop("npu"), "count": 2}]
    with pytest.raises(ScenarioError, match="one NPU"):
        least_late(pool)
