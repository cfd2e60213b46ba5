"""Fusion changes neither multiply-accumulates nor parameters nor what enters and leaves a model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest

from layerweaver.frontend.fusion import PASSES, Pass, fuse_drafts
from layerweaver.frontend.importer import import_model
from layerweaver.frontend.lowering.draft import DraftGraph
from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import LayerGraph, TensorSpec

EXPORTED = Path(__file__).parent.parent / "data" / "onnx"
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MODELS = sorted(EXPORTED.glob("*.onnx")) + sorted(LIGHT.glob("*.onnx"))
TOKENS = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (1, 64))


def _import(path: Path, *, fuse: bool) -> LayerGraph:
    return import_model(
        path, ImportOptions(shapes=TOKENS if path.name.startswith("bert_base") else {}, fuse=fuse)
    )


def _named(tensors: tuple[TensorSpec, ...]) -> dict[str, TensorSpec]:
    return {tensor.name: tensor for tensor in tensors}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_fusion_conserves(path: Path) -> None:
    fused, plain = _import(path, fuse=True), _import(path, fuse=False)
    assert len(fused) < len(plain)
    assert fused.macs == plain.macs
    assert _named(fused.parameter_tensors()) == _named(plain.parameter_tensors())
    assert (fused.inputs, fused.outputs) == (plain.inputs, plain.outputs)
    for side in ("state_reads", "state_writes"):
        assert Counter(tensor for layer in fused for tensor in getattr(layer, side)) == Counter(
            tensor for layer in plain for tensor in getattr(layer, side)
        )
    gathered = [
        Counter((gather.table.name, gather.rows.elements) for layer in graph for gather in layer.gathers)
        for graph in (fused, plain)
    ]
    assert gathered[0] == gathered[1]
    read = [
        {tensor.name for layer in graph for tensor in layer.inputs if tensor.name not in graph.producers}
        for graph in (fused, plain)
    ]
    assert read[0] == read[1]
    nodes = [Counter(node for layer in graph for node in layer.nodes) for graph in (fused, plain)]
    assert nodes[0] == nodes[1]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_layers_run_in_an_order_that_works(path: Path) -> None:
    graph = _import(path, fuse=True)
    written = {tensor.name for tensor in graph.inputs}
    for layer in graph:
        assert {tensor.name for tensor in layer.inputs} <= written
        written |= {tensor.name for tensor in layer.outputs}
    assert {tensor.name for tensor in graph.outputs} <= written


def test_a_pass_that_changes_the_work_is_named() -> None:
    path = EXPORTED / "ncf.legacy.onnx"
    graph = _import(path, fuse=False)
    assert graph.macs

    def forget(drafts: DraftGraph) -> int:
        drafts.remove(drafts.drafts()[-1])
        return 1

    broken = Pass("forget-a-layer", forget)
    with pytest.raises(RuntimeError, match="'forget-a-layer'"):
        fuse_drafts(_drafts(path), [broken])


def test_a_pass_without_what_it_requires_is_named() -> None:
    wanting = next(one for one in PASSES if one.requires)
    with pytest.raises(RuntimeError, match=f"'{wanting.name}' needs '{wanting.requires[0]}'"):
        fuse_drafts(_drafts(EXPORTED / "ncf.legacy.onnx"), [wanting])


def _drafts(path: Path) -> DraftGraph:
    from layerweaver.frontend.lowering.building import build
    from layerweaver.frontend.reader.file import read_model
    from layerweaver.frontend.resolve.resolve import resolve

    return build(resolve(read_model(path)), ImportOptions())
