"""The zoo: valid ONNX, the published sizes, and runs."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from layerweaver import models

# Multiply-accumulates and parameters at the default dimensions. Where they come from:
# - resnet50, mobilenetv2, inception-v3, bert-base, bert-large, vit-b16, gpt2-decode, ncf: the MACs that were
#   measured on the exported graphs of tests/data (reference_macs.csv; ncf there at batch 256).
# - parameters of the image networks: torchvision's published counts (without the auxiliary classifier of
#   Inception: 27,161,264 - 3,326,696); MobileNet v1: 4.2 million and 569 million MACs (arXiv:1704.04861).
# - ResNeXt-50 (32x4d): 25.0 million parameters and 4.2 billion MACs (arXiv:1611.05431, table 1),
#   25,028,904 exactly (torchvision).
# - BERT, GPT-2, ViT, XLNet: the counts of the published checkpoints; XLNet-base 116,718,336 with the mask
#   embedding of 768, which takes no part in inference.
# - Llama, Mistral, Qwen2.5: the counts of the published checkpoints, and MACs of one token from their layers.
EXPECTED: dict[str, tuple[int, int]] = {
    "resnet50": (4_089_184_256, 25_557_032),
    "resnet18": (1_814_073_344, 11_689_512),
    "resnext50": (4_230_479_872, 25_028_904),
    "mobilenetv1": (568_740_352, 4_231_976),
    "mobilenetv2": (300_774_272, 3_504_872),
    "inception-v3": (5_713_216_096, 23_834_568),
    "vgg16": (15_470_264_320, 138_357_544),
    "vit-b16": (17_563_828_224, 86_567_656),
    "bert-base": (35_333_406_720, 109_482_240),
    "bert-large": (123_212_922_880, 335_141_888),
    "xlnet-base": (43_493_621_760, 116_718_336 - 768),
    "gpt2-decode": (125_891_328, 124_439_808),
    "ncf": (27_295_744 // 256, 31_832_577),
    "gpt2": (125_891_328, 124_439_808),
    "llama-3.1-8b": (7_773_093_888, 8_030_261_248),
    "llama-2-7b": (6_875_512_832, 6_738_415_616),
    "llama-2-70b": (70_055_362_560, 68_976_648_192),
    "mistral-7b": (7_378_829_312, 7_241_732_096),
    "qwen2.5-7b": (7_275_806_720, 7_615_616_512),
}


def bind(model: onnx.ModelProto, dims: dict[str, int]) -> onnx.ModelProto:
    """A copy with its symbolic dimensions bound and the shapes that ONNX's own inference finds."""
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    for value in [*bound.graph.input, *bound.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in dims:
                dim.dim_value = dims[dim.dim_param]
            elif dim.dim_param:
                dim.Clear()
    return onnx.shape_inference.infer_shapes(bound, check_type=True, strict_mode=True, data_prop=True)


def shapes_of(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.output, *graph.value_info]:
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes


def count_macs(model: onnx.ModelProto) -> int:
    shapes = shapes_of(model)
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            total += prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            total += prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return total


def count_parameters(model: onnx.ModelProto) -> int:
    shapes = shapes_of(model)
    return sum(prod(shapes[node.output[0]]) for node in model.graph.node if node.op_type == "ConstantOfShape")


def test_every_model_has_expected_sizes() -> None:
    assert set(models.names()) == set(EXPECTED)


@pytest.mark.parametrize("name", models.names())
def test_checker_passes_and_sizes_are_the_published_ones(name: str) -> None:
    model = models.build(name)
    onnx.checker.check_model(model, full_check=True)
    bound = bind(model, models.defaults(name))
    macs, parameters = EXPECTED[name]
    assert count_parameters(bound) == parameters
    # ONNX's own inference sees through neither XLNet's relative positions nor a decoder's mask: the importer
    # counts those.
    if name != "xlnet-base" and "seq" not in models.defaults(name):
        assert count_macs(bound) == macs


@pytest.mark.parametrize("name", models.names())
def test_graphs_are_small_symbolic_and_reproducible(name: str) -> None:
    model = models.build(name)
    data = model.SerializeToString()
    assert len(data) < (1_000_000 if "seq" in models.defaults(name) else 300_000)
    assert data == models.build(name).SerializeToString()
    symbols = {
        dim.dim_param
        for value in model.graph.input
        for dim in value.type.tensor_type.shape.dim
        if dim.dim_param
    }
    assert symbols == set(models.defaults(name))
    node_names = [node.name for node in model.graph.node]
    assert len(set(node_names)) == len(node_names)


def run(name: str, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All values of a run in ONNX's reference evaluator."""
    model = models.build(name)
    wanted = [value for node in model.graph.node for value in node.output if value]
    return dict(zip(wanted, ReferenceEvaluator(model).run(wanted, feeds), strict=True))


def test_ncf_runs() -> None:
    ids = np.array([0, 5, 26_743])
    score = run("ncf", {"user": ids, "item": ids})["score"]
    assert score.shape == (3, 1)
    assert np.all((score > 0.5) & (score < 1))


def test_xlnet_runs_and_has_the_products_of_its_equations() -> None:
    """Relative attention: per layer 6 projections of tokens (r has twice as many), 4 square products."""
    tokens, hidden, inner = 5, 768, 3072
    ids = np.arange(2 * tokens).reshape(2, tokens)
    segments = np.array([[0, 0, 1, 1, 1], [0, 0, 0, 0, 1]])
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": segments}
    values = run("xlnet-base", feeds)
    assert values["last_hidden_state"].shape == (2, tokens, hidden)
    assert np.all(np.isfinite(values["last_hidden_state"]))
    macs = sum(
        values[node.output[0]].size * values[node.input[0]].shape[-1]
        for node in models.build("xlnet-base").graph.node
        if node.op_type == "MatMul"
    )
    per_sequence = 4 * tokens * hidden**2 + 2 * tokens * hidden * inner  # q, k, v, o and the network behind
    per_sequence += 4 * tokens**2 * hidden + 2 * tokens * hidden  # content, 2 x position, context; segment
    positions = 2 * tokens * hidden**2  # r does not depend on the batch
    assert macs == 12 * (2 * per_sequence + positions)


def test_xlnet_moves_position_scores_by_one_column_per_row() -> None:
    """Score (i, j) must be the one of distance i - j, which is column tokens - (i - j)."""
    tokens = 5
    ids = np.zeros((1, tokens), np.int64)
    feeds = {"input_ids": ids, "attention_mask": ids + 1, "token_type_ids": ids}
    values = run("xlnet-base", feeds)
    positions = values["positions.Unsqueeze.out"][:, 0]
    before = values["layer.0.rel_attn.position.out"]
    assert len(np.unique(before[0, 0, 0])) == 2 * tokens
    after = values["layer.0.rel_attn.shift.Slice_1.out"]
    for row in range(tokens):
        for column in range(tokens):
            (source,) = np.flatnonzero(positions == row - column)
            np.testing.assert_array_equal(after[..., row, column], before[..., row, source])


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("resnet-50", "resnet50"), ("bert", "bert-base"), ("NCF", "ncf")]
)
def test_unknown_names_get_the_nearest(wrong: str, nearest: str) -> None:
    for ask in (models.build, models.defaults, models.describe):
        with pytest.raises(models.UnknownModelError, match=f"'{wrong}'") as caught:
            ask(wrong)
        assert nearest in caught.value.nearest
        assert nearest in str(caught.value)


def test_names_like_nothing_get_the_whole_list() -> None:
    with pytest.raises(models.UnknownModelError, match="known: resnet50, "):
        models.build("???")
