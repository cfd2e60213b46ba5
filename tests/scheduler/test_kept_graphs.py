"""Imported models are kept by content: found again, and never where anything that matters differs."""

from __future__ import annotations

import pickle
from pathlib import Path

import onnx
import onnx.helper
import onnx.parser
import pytest

from layerweaver.frontend import importer
from layerweaver.frontend.node import registry
from layerweaver.ir.cache import Cache
from layerweaver.scheduler.compile import kept_graphs
from layerweaver.scheduler.compile.sources import load_graph

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[n, 4] x) => (float[n, {outputs}] y) <float[4, {outputs}] w> {{ y = MatMul(x, w) }}
"""


@pytest.fixture(autouse=True)
def imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cache folder of its own; the models that were really imported."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_graphs, "GRAPHS", Cache("graphs", 1 << 24))
    monkeypatch.setattr(kept_graphs, "_memory", {})
    # Other tests of the same process may have registered operators of their own.
    monkeypatch.setattr(registry.load_operators(), "only_shipped", True)
    imported: list[str] = []
    really = importer.import_model

    def counted(model, options):  # type: ignore[no-untyped-def]
        imported.append(model.source)
        return really(model, options)

    monkeypatch.setattr(importer, "import_model", counted)
    return imported


def _write(path: Path, outputs: int = 8) -> Path:
    model = onnx.parser.parse_model(MODEL.format(outputs=outputs))
    weights = onnx.helper.make_tensor(
        "w", onnx.TensorProto.FLOAT, [4, outputs], bytes(16 * outputs), raw=True
    )
    model.graph.initializer.append(weights)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("forget", [False, True])
def test_a_model_is_imported_once(
    tmp_path: Path, imports: list[str], monkeypatch: pytest.MonkeyPatch, forget: bool
) -> None:
    path = _write(tmp_path / "small.onnx")
    first = load_graph(path, dims={"n": 2})
    if forget:
        monkeypatch.setattr(kept_graphs, "_memory", {})
    again = load_graph(path, dims={"n": 2})
    assert len(imports) == 1
    assert (again.layers, again.inputs, again.outputs) == (first.layers, first.inputs, first.outputs)
    assert again.macs == 2 * 4 * 8


def test_other_content_and_other_bindings_are_other_graphs(tmp_path: Path, imports: list[str]) -> None:
    path = _write(tmp_path / "small.onnx")
    assert load_graph(path, dims={"n": 2}).macs == 64
    assert load_graph(path, dims={"n": 3}).macs == 96
    _write(path, outputs=16)
    assert load_graph(path, dims={"n": 2}).macs == 128
    assert len(imports) == 3


def test_damaged_entries_are_imported_anew(
    tmp_path: Path, imports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "small.onnx")
    load_graph(path, dims={"n": 2})
    monkeypatch.setattr(kept_graphs, "_memory", {})
    folder = kept_graphs.GRAPHS.folder
    assert folder is not None
    (entry,) = folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert load_graph(path, dims={"n": 2}).macs == 64
    assert len(imports) == 2


def test_entries_of_other_code_are_imported_anew(
    tmp_path: Path, imports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "small.onnx")
    load_graph(path, dims={"n": 2})
    folder = kept_graphs.GRAPHS.folder
    assert folder is not None
    (entry,) = folder.iterdir()
    for foreign in (b"", b"\x80\x04garbage", pickle.dumps("text")):
        monkeypatch.setattr(kept_graphs, "_memory", {})
        kept_graphs.GRAPHS.write(entry.name, foreign)
        assert load_graph(path, dims={"n": 2}).macs == 64
    assert len(imports) == 4


def test_nothing_is_kept_once_the_code_has_changed(
    tmp_path: Path, imports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "small.onnx")
    kept_graphs.code_of(kept_graphs._ROOMS)
    monkeypatch.setattr(kept_graphs, "_code_on_disk", lambda _rooms: "updated meanwhile")
    for _ in range(2):
        monkeypatch.setattr(kept_graphs, "_memory", {})
        load_graph(path, dims={"n": 2})
    assert len(imports) == 2


def test_data_in_other_files_is_never_kept(tmp_path: Path, imports: list[str]) -> None:
    path = _write(tmp_path / "small.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0)
    for _ in range(2):
        assert load_graph(path, dims={"n": 2}).macs == 64
    assert len(imports) == 2


def test_nothing_is_kept_while_others_register_operators(
    tmp_path: Path, imports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "small.onnx")
    shipped = registry.load_operators()
    assert registry.only_shipped()
    monkeypatch.setattr(shipped, "_operators", dict(shipped._operators))
    shipped.add(registry.Operator("Mine", "mine", shape=lambda _: ()))
    assert not registry.only_shipped()
    for _ in range(2):
        load_graph(path, dims={"n": 2})
    assert len(imports) == 2
