"""An inspection says what it ran, and its numbers agree with one another."""

from pathlib import Path

import pytest

from layerweaver import inspect_model, load_npu
from layerweaver.backend_sim.report.roofline import roofline_figure
from layerweaver.costmodel.npu.document import npu_rows
from layerweaver.models import build


def test_the_document_names_everything_that_was_bound_zoo_defaults_included() -> None:
    default = inspect_model("zoo:bert-base", npu="memory-centric").document
    short = inspect_model("zoo:bert-base", npu="memory-centric", dims={"tokens": 16}, fuse=False).document
    assert default["bound_to"] == "batch 1, tokens=384"
    assert short["bound_to"] == "batch 1, tokens=16, not fused"
    assert short["stated"]["dims"] == {"tokens": 16}
    assert short["npu_config"]["name"] == "memory-centric"
    assert default["sha256"] is None
    assert "tokens=384" in roofline_figure(default).title


def test_what_is_stated_makes_the_same_document_again(tmp_path: Path) -> None:
    path = tmp_path / "eye.onnx"
    path.write_bytes(build("mobilenetv2").SerializeToString())
    first = inspect_model(str(path), npu="memory-centric", shapes={"input": (2, 3, 96, 96)}, longest_us=30)
    said = first.document["stated"]
    shapes = {name: tuple(shape) for name, shape in said["shapes"].items()}
    again = inspect_model(
        first.document["model"],
        npu=first.document["npu_config"],
        **{key: said[key] for key in ("dims", "values", "trip_counts", "state", "strict", "fuse")},
        shapes=shapes,
        longest_us=said["longest_us"],
    )
    assert again.document == first.document
    assert "input 2x3x96x96" in first.document["bound_to"]
    assert "rows of at most 30 us" in first.document["bound_to"]
    assert len(first.document["sha256"]) == 64


@pytest.mark.parametrize("npu", ["memory-centric", "dpu-b4096-zcu102", "tpu-v4-measured"])
@pytest.mark.parametrize("model", ["zoo:vgg16", "zoo:ncf"])
def test_the_whole_model_of_a_roofline_is_as_fast_as_its_latency(model: str, npu: str) -> None:
    document = inspect_model(model, npu=npu).document
    totals, roof, whole = document["totals"], document["roofline"], roofline_figure(document).whole
    assert whole is not None
    assert roof["alone_tops"] == pytest.approx(2e-9 * totals["macs"] / totals["latency_ms"])
    assert whole[1] == roof["alone_tops"] <= roof["achieved_tops"]
    longer = "compute" if totals["compute_cycles"] > totals["memory_cycles"] else "memory"
    assert totals["kind"] == f"{longer}-intensive"


def test_lists_and_rooflines_have_the_same_ridge() -> None:
    for row in npu_rows():
        roof = inspect_model("zoo:ncf", npu=row["name"]).document["roofline"]
        assert row["ridge_ops_per_byte"] == pytest.approx(roof["ridge_ops_per_byte"], abs=1e-3)
        assert row["dram_reached_gb_s"] == pytest.approx(roof["dram_gb_s"], abs=1e-4)


def test_activations_are_told_in_the_types_of_the_npu_too() -> None:
    config = load_npu("dpu-b4096-zcu102")
    totals = inspect_model("zoo:resnet18", npu=config).document["totals"]
    assert totals["npu_peak_activation_bytes"] * 4 == totals["peak_activation_bytes"]
