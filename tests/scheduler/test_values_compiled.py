"""What compiled code has as a constant is told apart: closures, and values of modules from elsewhere."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from layerweaver.backend_sim.study.simulate import simulate
from layerweaver.scheduler.machine.loaded import code_of_function
from layerweaver.scheduler.policies.contract import Policy, PolicySpec

LAST: Any = 0
WEIGHTS = ModuleType("weights")


def _first_or_last(last: int) -> Policy:
    def choose(view: Any, options: Any, memory: Any) -> int:  # noqa: ARG001
        return int(view.ready[(view.machine.ready_count - 1) * last])

    return PolicySpec("closure", choose, "the first or the last").configure()


def _by_global(view: Any, options: Any, memory: Any) -> int:  # noqa: ARG001
    return int(view.ready[(view.machine.ready_count - 1) * LAST])


def _by_module() -> Any:
    return WEIGHTS.last


SCENARIO = {
    "npu": "memory-centric",
    "duration_s": 0.1,
    "tenants": [
        {"name": "a", "model": "zoo:ncf", "arrival": {"kind": "poisson", "qps": 2000, "seed": 2}},
        {"name": "b", "model": "zoo:resnet50", "arrival": {"kind": "poisson", "qps": 1800, "seed": 1}},
    ],
}


def _p99(policy: Policy, *, compiled: bool) -> object:
    document: Any = simulate(SCENARIO, policy, compiled=compiled)
    return document["tenants"][0]["latency_ms"]["p99"]


def test_policies_of_one_function_run_with_their_own_values() -> None:
    found = [_p99(_first_or_last(last), compiled=True) for last in (0, 1)]
    assert found == [_p99(_first_or_last(last), compiled=False) for last in (0, 1)]
    assert found[0] != found[1]


def test_a_value_that_changes_between_runs_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = PolicySpec("global", _by_global, "the first or the last").configure()
    found = [_p99(policy, compiled=True)]
    monkeypatch.setattr(sys.modules[__name__], "LAST", 1)
    found.append(_p99(policy, compiled=True))
    assert found[1] == _p99(policy, compiled=False)
    assert found[0] != found[1]


@pytest.mark.parametrize(
    "values", [(1, 2), ((1, 2), (1, 3)), (np.arange(3), np.arange(3) * 2), (np.int64(1), np.float64(1))]
)
@pytest.mark.parametrize("place", ["global", "module"])
def test_code_is_told_apart_by_the_values_that_it_names(
    monkeypatch: pytest.MonkeyPatch, values: tuple[Any, Any], place: str
) -> None:
    code: list[str] = []
    for value in (*values, values[0]):
        monkeypatch.setattr(sys.modules[__name__], "LAST", value)
        monkeypatch.setattr(WEIGHTS, "last", value, raising=False)
        function: Any = _by_global if place == "global" else _by_module
        assert isinstance(function, FunctionType)
        code.append(code_of_function(function))
    assert code[0] != code[1]
    assert code[0] == code[2]
