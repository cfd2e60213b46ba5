"""Reproduce ONNXim: cycles of ResNet-18 and a BERT layer on its four-core TPU v4 like machine.

The shipped config ``onnxim-tpuv4`` describes that machine; nothing is fitted per network. ONNXim finishes a
layer before it starts the next, so a network takes the sum of its layers' latencies.
"""

from __future__ import annotations

import csv
from importlib import resources

from layerweaver.backend_sim.results.reproduced import Onnxim, OnnximNetwork
from layerweaver.costmodel import CostedModel, cost_graph, load_npu
from layerweaver.ir import LayerGraph
from layerweaver.scheduler.compile.sources import load_graph

__all__ = ["bert_layer", "reproduce_onnxim"]

NPU = "onnxim-tpuv4"
RESNET18_CYCLES = 459_507
BERT_LAYER_CYCLES = 105_907
PRODUCTS_PER_LAYER = 8
"""Query, key, value, scores, context, output and two feed-forward products."""


def reproduce_onnxim() -> Onnxim:
    """Compare total cycles per network, and per convolution of ResNet-18, with what ONNXim logged.

    Returns:
        ``networks``: name, cycles, onnxim_cycles, error (a signed fraction); ``layer_mape``: mean absolute
        error per convolution, a fraction.
    """
    config = load_npu(NPU)
    resnet = cost_graph(load_graph("zoo:resnet18"), config)
    layer = cost_graph(bert_layer(load_graph("zoo:bert-base", dims={"tokens": 128})), config)
    return {
        "networks": [
            _network("resnet18", resnet, RESNET18_CYCLES),
            _network("bert-base layer, 128 tokens", layer, BERT_LAYER_CYCLES),
        ],
        "layer_mape": _convolution_error(resnet),
    }


def bert_layer(graph: LayerGraph) -> LayerGraph:
    """The first encoder layer of a BERT graph: from its first product to the second normalisation's end."""
    layers = list(graph.layers)
    products = [index for index, layer in enumerate(layers) if layer.matrix is not None]
    part = layers[products[0] : products[PRODUCTS_PER_LAYER]]
    made = {tensor.name for layer in part for tensor in layer.outputs}
    read = {tensor.name: tensor for layer in part for tensor in layer.inputs}
    return LayerGraph(
        f"{graph.name} layer",
        part,
        inputs=[tensor for name, tensor in read.items() if name not in made],
        outputs=part[-1].outputs,
        batch=graph.batch,
    )


def _network(name: str, costed: CostedModel, onnxim_cycles: int) -> OnnximNetwork:
    cycles = int(costed.layer_latency_cycles.sum())
    return {
        "name": name,
        "cycles": cycles,
        "onnxim_cycles": onnxim_cycles,
        "error": cycles / onnxim_cycles - 1,
    }


def _convolution_error(resnet: CostedModel) -> float:
    log = resources.files("layerweaver.backend_sim.study.reproduce.data").joinpath(
        "onnxim_resnet18_tpuv4.csv"
    )
    logged = {
        row["layer"]: int(row["cycles"])
        for row in csv.DictReader(log.read_text(encoding="utf-8").splitlines())
    }
    errors = []
    for layer, cycles in zip(resnet.columns.graph.layers, resnet.layer_latency_cycles, strict=True):
        if layer.operators[0] == "Conv":
            errors.append(abs(int(cycles) / logged[layer.name.removesuffix(".0")] - 1))
    return sum(errors) / len(errors)
