"""Costs are kept by content: found again as they were, and never where anything that matters differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper
import pytest

from layerweaver import costmodel
from layerweaver.costmodel import NpuConfig, load_npu, npu_document
from layerweaver.ir.cache import Cache
from layerweaver.ir.plugins import installed
from layerweaver.scheduler.compile import kept_costs, kept_graphs
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models
from layerweaver.scheduler.profile.file import profile_bytes
from layerweaver.scheduler.profile.profile import Profile


@pytest.fixture(autouse=True)
def costings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cache folders of its own, where every graph counts as large; the models that were really costed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    graphs = Cache("graphs", 1 << 24)
    for module in (kept_graphs, kept_costs):
        monkeypatch.setattr(module, "GRAPHS", graphs)
    monkeypatch.setattr(kept_costs, "COSTS", Cache("costs", 1 << 24))
    monkeypatch.setattr(kept_costs, "_LEAST_GRAPH_BYTES", 1)
    monkeypatch.setattr(kept_graphs, "_others_operators", lambda: False)
    _forget(monkeypatch)
    costed: list[str] = []
    really = costmodel.cost_graph

    def counted(graph: Any, npu: NpuConfig, **options: Any) -> Any:
        costed.append(f"{graph.name} on {npu.name}")
        return really(graph, npu, **options)

    monkeypatch.setattr(costmodel, "cost_graph", counted)
    return costed


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    for module in (kept_graphs, kept_costs):
        monkeypatch.setattr(module, "_memory", {})


def _model(path: Path, outputs: int = 8) -> str:
    value, tensor = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    weights = onnx.helper.make_tensor("w", tensor, [4, outputs], bytes(16 * outputs), raw=True)
    inputs, results = [value("x", tensor, ["batch", 4])], [value("y", tensor, ["batch", outputs])]
    graph = onnx.helper.make_graph([node], "small", inputs, results, [weights])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), path)
    return str(path)


def _compiled(source: str, npu: Any = "memory-centric", **options: Any) -> Profile:
    return compile_models([ModelRequest(entry="one", source=source, **options)], npu)


@pytest.mark.parametrize("forget", [False, True])
def test_a_model_is_costed_once_and_comes_back_as_it_was(
    tmp_path: Path, costings: list[str], monkeypatch: pytest.MonkeyPatch, forget: bool
) -> None:
    for source in (_model(tmp_path / "small.onnx"), "zoo:ncf"):
        costings.clear()
        first = _compiled(source)
        if forget:
            _forget(monkeypatch)
        again = compile_models([ModelRequest(entry="other.name", source=source)], "memory-centric")
        assert len(costings) == 1
        assert [entry.entry for entry in again.entries] == ["other.name"]
        assert [entry.table.model for entry in again.entries] == ["other.name"]
        renamed = tuple(kept_costs.called(entry, "one") for entry in again.entries)
        same = Profile(again.npu, again.machine, renamed, again.provenance)
        assert profile_bytes(same, "") == profile_bytes(first, "")
        assert again.entries[0].table.machine == first.entries[0].table.machine


def test_what_matters_is_told_apart(
    tmp_path: Path, costings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _model(tmp_path / "small.onnx")
    slower = npu_document(load_npu("memory-centric"))
    slower["dram"] = {**slower["dram"], "bandwidth_gb_s": 1}
    first = _compiled(source)
    others = [
        _compiled(source, slower),
        _compiled(source, batches=(2,)),
    ]
    _compiled(source, longest_us=50.0)
    assert len(costings) == 4
    assert all(profile_bytes(other, "") != profile_bytes(first, "") for other in others)
    _model(tmp_path / "small.onnx", outputs=9)
    assert _compiled(source).entries[0].table.weight_bytes.sum() == 4 * 9 * 2
    _forget(monkeypatch)
    name = first.entries[0].table.layer_names[0]
    (tmp_path / "measured.csv").write_text(
        f"layer,compute_cycles,dram_bytes,weight_bytes\n{name},12345,100,100\n"
    )
    measured = _compiled(source, overrides={1: tmp_path / "measured.csv"})
    assert np.isin(12345, measured.entries[0].table.compute_cycles)


def test_what_is_damaged_is_costed_again(
    tmp_path: Path, costings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _model(tmp_path / "small.onnx")
    first = profile_bytes(_compiled(source), "")
    folder = kept_costs.COSTS.folder
    assert folder is not None
    (entry,) = folder.iterdir()
    for damage in (b"", b"x" * 500, entry.read_bytes()[:-9]):
        entry.write_bytes(damage)
        _forget(monkeypatch)
        assert profile_bytes(_compiled(source), "") == first
    kept_costs.COSTS.write(entry.name, b"PK but no profile")
    _forget(monkeypatch)
    assert profile_bytes(_compiled(source), "") == first
    assert len(costings) == 5


def test_pins_and_models_of_others_are_not_kept(
    tmp_path: Path, costings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _model(tmp_path / "small.onnx")
    pinned = npu_document(load_npu("memory-centric")) | {"pinned_models": [source]}
    for _ in range(2):
        _compiled(source, load_npu(pinned))
    assert len(costings) == 2
    monkeypatch.setattr(kept_costs, "_others_models", lambda: True)
    for _ in range(2):
        _compiled(source)
    assert len(costings) == 4
    assert all(list(installed(group)) for group in kept_costs._GROUPS)
