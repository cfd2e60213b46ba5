"""Instructions of decisions on small cores: counted, alike in every run, and of the same decisions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from firmware.conftest import random_scenario, simulated

from layerweaver.backend_sim.firmware.export import costs_of, export, export_document, translated
from layerweaver.backend_sim.study.inputs import as_prepared, policy_of
from layerweaver.ir import OutputError


@pytest.fixture
def tools() -> None:
    """Skip where the extra is not."""
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("policy", ["fcfs", pytest.param("layerweaver+", marks=pytest.mark.slow)])
def test_small_cores_decide_as_simulated(policy: str, tmp_path: Path) -> None:
    prepared = as_prepared(random_scenario(8, tmp_path, 60, 4))
    chosen = policy_of(prepared, policy)
    exported = translated(prepared, chosen)
    names = [tenant.name for tenant in prepared.scenario.spec.tenants]
    expected = simulated(prepared, chosen, compiled=False)
    first, second = costs_of(prepared, exported), costs_of(prepared, exported)
    assert [cost.core.name for cost in first] == ["rv32imc", "armv7-m"]
    for cost, again in zip(first, second, strict=True):
        found = [
            (str(at), names[tenant], str(number), str(row)) for at, tenant, number, row in cost.decisions
        ]
        assert found == expected
        assert cost.instructions == again.instructions
        assert min(cost.instructions) > 50
        assert cost.document(len(names))["decisions"] == len(expected)
        assert cost.document(len(names))["max"] == max(cost.instructions)


@pytest.mark.usefixtures("tools")
def test_the_document_has_what_was_measured(tmp_path: Path) -> None:
    keys = random_scenario(8, tmp_path, 10, 2)
    document = export_document(export(keys, "edf", tmp_path / "out", measured=True))
    instructions = document["instructions"]
    assert isinstance(instructions, list)
    assert {"core", "tenants", "mean", "p99", "max", "arrival_mean", "arrival_max"} <= set(instructions[0])
    assert isinstance(document["code_bytes"], int)
    assert document["code_bytes"] > 1000


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(
        OutputError, match=r"--measure: .* needs ziglang; pip install 'layerweaver\[firmware\]'"
    ):
        export(random_scenario(8, tmp_path, 10, 2), "edf", tmp_path / "out", measured=True)
    assert not (tmp_path / "out").exists()
