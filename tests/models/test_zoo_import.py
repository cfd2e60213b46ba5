"""The zoo through the frontend: the same work as the exported graphs, and dimensions that scale it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from layerweaver import models
from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.frontend.reader.file import read_model_bytes
from layerweaver.ir import LayerGraph

EXPORTED = Path(__file__).parents[1] / "data" / "onnx"


def zoo_graph(name: str, batch: int | None = None, **dims: int) -> LayerGraph:
    bound = {**models.defaults(name), **dims}
    if batch is not None:
        del bound["batch"]
    model = read_model_bytes(models.build(name).SerializeToString(), f"zoo:{name}")
    return import_model(model, ImportOptions(dims=bound, batch=batch))


def matrix_work(graph: LayerGraph) -> Counter[tuple[int, int, int, int, bool]]:
    """Sizes of all matrix layers: groups, rows, columns, terms, and whether weights are fetched."""
    works = [layer.matrix for layer in graph if layer.matrix is not None]
    return Counter((work.groups, work.m, work.n, work.k, work.weights) for work in works)


@pytest.mark.parametrize(
    ("name", "file", "dims"),
    [
        ("resnet50", "resnet50.legacy", {}),
        ("resnet50", "resnet50.dynamo", {}),
        ("mobilenetv2", "mobilenetv2.legacy", {}),
        ("inception-v3", "inceptionv3.legacy", {}),
        ("vit-b16", "vit_b16.dynamo", {}),
        ("bert-base", "bert_base.legacy.dyn", {"batch": 1, "seq": 384}),
        ("bert-large", "bert_large.dynamo", {}),
        ("gpt2-decode", "gpt2_decode.dynamo", {}),
    ],
)
def test_same_layers_as_the_exported_graph(name: str, file: str, dims: dict[str, int]) -> None:
    ours = zoo_graph(name)
    exported = import_model(EXPORTED / f"{file}.onnx", ImportOptions(dims=dims))
    assert matrix_work(ours) == matrix_work(exported)
    assert ours.macs == exported.macs


def test_ncf_at_the_batch_of_the_exported_graph() -> None:
    ours = zoo_graph("ncf", batch=256)
    exported = import_model(EXPORTED / "ncf.legacy.onnx")
    assert matrix_work(ours) == matrix_work(exported)
    assert (ours.macs, ours.parameters) == (27_295_744, 31_832_577)


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        ("resnet50", 4_089_184_256, 25_557_032),
        ("resnet18", 1_814_073_344, 11_689_512),
        ("resnext50", 4_230_479_872, 25_028_904),
        ("mobilenetv1", 568_740_352, 4_231_976),
        ("mobilenetv2", 300_774_272, 3_504_872),
        ("inception-v3", 5_713_216_096, 23_834_568),
        ("vgg16", 15_470_264_320, 138_357_544),
        ("vit-b16", 17_563_828_224, 86_567_656),
        ("bert-base", 35_333_406_720, 109_482_240),
        ("bert-large", 123_212_922_880, 335_141_888),
        ("xlnet-base", 43_493_621_760, 116_718_336 - 768),
        ("gpt2-decode", 125_891_328, 124_439_808),
        ("gpt2", 125_891_328, 124_439_808),
        ("llama-3.1-8b", 7_773_093_888, 8_030_261_248),
        ("llama-2-7b", 6_875_512_832, 6_738_415_616),
        ("llama-2-70b", 70_055_362_560, 68_976_648_192),
        ("mistral-7b", 7_378_829_312, 7_241_732_096),
        ("qwen2.5-7b", 7_275_806_720, 7_615_616_512),
    ],
)
def test_published_sizes_without_warnings(name: str, macs: int, parameters: int) -> None:
    graph = zoo_graph(name)
    assert (graph.macs, graph.parameters) == (macs, parameters)
    assert graph.warnings == ()


@pytest.mark.parametrize("name", models.names())
def test_batch_scales_work_and_leaves_weights_alone(name: str) -> None:
    one, four = zoo_graph(name), zoo_graph(name, batch=4)
    assert four.parameters == one.parameters
    # XLNet projects its relative positions once for the whole batch.
    once = 12 * 2 * 384 * 768 * 768 if name == "xlnet-base" else 0
    assert four.macs == 4 * (one.macs - once) + once


def test_tokens_scale_attention_quadratically() -> None:
    hidden, layers = 768, 12

    def expected(tokens: int) -> int:
        return layers * (12 * tokens * hidden**2 + 2 * tokens**2 * hidden) + hidden**2

    for tokens in (16, 384, 512):
        assert zoo_graph("bert-base", tokens=tokens).macs == expected(tokens)


def test_gpt2_cache_is_state() -> None:
    graph = zoo_graph("gpt2-decode", past=127)
    cache = 127 * 768
    read = [tensor.elements for layer in graph for tensor in layer.state_reads]
    written = [tensor.elements for layer in graph for tensor in layer.state_writes]
    assert read == [cache] * 24
    assert written == [768] * 24
