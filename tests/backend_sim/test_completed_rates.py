"""Rates of completion count what completed in the measured time, in overload too."""

import pytest

from layerweaver import simulate

_OPEN = [
    {"kind": "offline", "samples": 40},
    {"kind": "poisson", "qps": 20_000, "seed": 1},
    {"kind": "closed_loop", "concurrency": 30},
]


@pytest.mark.parametrize("warmup_s", [0, 0.01])
@pytest.mark.parametrize("arrival", _OPEN, ids=lambda arrival: str(arrival["kind"]))
@pytest.mark.parametrize("pool", [False, True])
def test_no_rate_exceeds_the_bound_when_measuring_ends_before_the_work(
    arrival: dict[str, object], warmup_s: float, pool: bool
) -> None:
    if pool and arrival["kind"] == "closed_loop":
        pytest.skip("a pool has no loops")
    machine = {"pool": [{"npu": "memory-centric", "count": 2}]} if pool else {"npu": "memory-centric"}
    document = simulate(
        {
            **machine,
            "policy": "fcfs",
            "duration_s": 0.03,
            "cooldown_s": 0.01,
            "warmup_s": warmup_s,
            "tenants": [{"name": "vision", "model": "zoo:resnet50", "arrival": arrival}],
        }
    )
    tenant, system = document["tenants"][0], document["system"]
    if not tenant["arrived"]:
        pytest.skip("all came in the warm-up")
    npus, bound_qps, stp = 2 if pool else 1, system["bound_qps"], system["stp"]
    assert bound_qps is not None
    assert stp is not None
    assert 0.7 * bound_qps < tenant["qps"] <= 1.05 * bound_qps
    assert 0.8 * npus < stp <= 1.1 * npus
