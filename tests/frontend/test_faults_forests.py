"""Classical models keep their weights in attributes: they weigh, and their number is no limit."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hostile.guard import bounded
from onnx import TensorProto, helper

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes

ML = "ai.onnx.ml"


def _model(node: onnx.NodeProto) -> bytes:
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


def _forest(trees: int, depth: int) -> tuple[bytes, int, int]:
    """A model, how many numbers it holds and how many texts."""
    per_tree = 2 ** (depth + 1) - 1
    tree = np.repeat(np.arange(trees), per_tree)
    number = np.tile(np.arange(per_tree), trees)
    leaf = number >= 2**depth - 1
    attributes: dict[str, Any] = {
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": number.tolist(),
        "nodes_featureids": (number % 6).tolist(),
        "nodes_values": [0.5] * len(tree),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_truenodeids": np.where(leaf, 0, 2 * number + 1).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, 2 * number + 2).tolist(),
        "target_treeids": tree[leaf].tolist(),
        "target_nodeids": number[leaf].tolist(),
        "target_ids": [0] * int(leaf.sum()),
        "target_weights": [0.1] * int(leaf.sum()),
    }
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain=ML, n_targets=1, **attributes)
    return _model(node), 6 * len(tree) + 4 * int(leaf.sum()), len(tree)


@pytest.mark.parametrize(("trees", "depth"), [(3, 2), (20, 10)], ids=["short-lists", "long-lists"])
def test_the_nodes_of_a_forest_are_parameters(trees: int, depth: int) -> None:
    data, numbers, texts = _forest(trees, depth)
    graph = import_model(read_model_bytes(data, "forest"), ImportOptions(batch=4))
    assert graph.parameters == numbers + texts
    assert graph["y"].vector[0].elements == 4 * trees
    assert graph["y"].vector[0].window == depth + 1


def test_coefficients_of_linear_models_are_parameters() -> None:
    node = helper.make_node(
        "LinearRegressor", ["x"], ["y"], domain=ML, coefficients=[0.5] * 12, intercepts=[0.1, 0.2], targets=2
    )
    graph = import_model(read_model_bytes(_model(node), "linear"), ImportOptions(batch=4))
    assert graph.parameters == 14
    assert sum(tensor.nbytes() for tensor in graph.parameter_tensors()) == 14 * 4


@pytest.mark.slow
def test_a_forest_of_819_100_nodes(tmp_path: Path) -> None:
    data, numbers, texts = _forest(100, 12)
    path = tmp_path / "forest.onnx"
    path.write_bytes(data)
    with bounded():
        graph = import_model(path, ImportOptions(batch=4))
    assert graph.parameters == numbers + texts


def test_the_collector_is_as_before() -> None:
    data, _, _ = _forest(2, 2)
    assert gc.isenabled()
    import_model(read_model_bytes(data, "forest"), ImportOptions(batch=1))
    assert gc.isenabled()
