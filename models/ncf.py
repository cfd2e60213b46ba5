"""Neural collaborative filtering: He et al., 2017 (arXiv:1708.05031), sized as in MLPerf (MovieLens 20M)."""

from __future__ import annotations

from itertools import pairwise

import onnx
from onnx import TensorProto

from layerweaver.models.builder import GraphBuilder

__all__ = ["ncf"]

_USERS, _ITEMS = 138_493, 26_744
_FACTORS = 64
_LAYERS = (256, 256, 128, 64)


def ncf() -> onnx.ModelProto:
    """NeuMF: a product of embeddings beside a perceptron; inputs user and item, both (batch,)."""
    graph = GraphBuilder("ncf")
    user = graph.input("user", ("batch",), TensorProto.INT64)
    item = graph.input("item", ("batch",), TensorProto.INT64)
    wide = _LAYERS[0] // 2
    x = graph.op(
        "Concat",
        _embed(graph, user, _USERS, wide, "mlp_user_embedding"),
        _embed(graph, item, _ITEMS, wide, "mlp_item_embedding"),
        name="mlp.concat",
        axis=1,
    )
    for index, (inputs, outputs) in enumerate(pairwise(_LAYERS)):
        x = graph.op("Relu", graph.dense(x, inputs, outputs, f"mlp.{index}"), name=f"mlp.{index}.relu")
    factors = graph.op(
        "Mul",
        _embed(graph, user, _USERS, _FACTORS, "mf_user_embedding"),
        _embed(graph, item, _ITEMS, _FACTORS, "mf_item_embedding"),
        name="mf.mul",
    )
    x = graph.op("Concat", factors, x, name="concat", axis=1)
    x = graph.dense(x, _FACTORS + _LAYERS[-1], 1, "final")
    graph.output(graph.op("Sigmoid", x, name="sigmoid"), "score", ("batch", 1))
    return graph.model()


def _embed(graph: GraphBuilder, index: str, rows: int, width: int, name: str) -> str:
    table = graph.weight(f"{name}.weight", (rows, width), 0.01)
    return graph.op("Gather", table, index, name=name, axis=0)
