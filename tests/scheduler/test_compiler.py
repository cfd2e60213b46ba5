"""Compiling models into profiles: entry names, batches, provenance, errors in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from onnx import parser as onnx_text

from layerweaver.ir import ConfigError, ModelError, ProfileError
from layerweaver.scheduler.compile.compiler import ModelRequest, compile_models, parse_request
from layerweaver.scheduler.compile.sources import load_graph
from layerweaver.scheduler.profile.document import profile_document
from layerweaver.scheduler.profile.file import load_profile, save_profile

NPU = {
    "name": "tiny",
    "clock_mhz": 1000,
    "precision_bytes": 2,
    "array": {"rows": 8, "columns": 8},
    "vector": {"lanes": 8},
    "dram": {"bandwidth_gb_s": 10},
    "sram": {"weights_mb": 1, "activations_mb": 1},
}
TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[batch, seq, 16] x) => (float[batch, seq, 4] y)
<float[16, 32] w1, float[32, 4] w2>
{
    h = MatMul(x, w1)
    r = Relu(h)
    y = MatMul(r, w2)
}
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = onnx_text.parse_model(TEXT)
    model.graph.ClearField("initializer")
    graph = model.graph
    for name, shape in (("w1", (16, 32)), ("w2", (32, 4))):
        tensor = graph.initializer.add(name=name, data_type=1, dims=shape)
        tensor.raw_data = bytes(4 * shape[0] * shape[1])
    path = tmp_path_factory.mktemp("models") / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_several_models_at_several_batch_sizes(model_file: Path, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    profile = compile_models(
        [
            ModelRequest("short", str(model_file), batches=(1, 4), dims={"seq": 8}),
            ModelRequest("long", str(model_file), dims={"seq": 64}),
        ],
        NPU,
        groups=[("short@4", "long")],
        progress=lambda share, text: told.append((share, text)),
    )
    assert [(e.entry, e.table.batch) for e in profile.entries] == [("short", 1), ("short", 4), ("long", 1)]
    assert told[0] == (0.0, "short at batch 1")
    path = tmp_path / "mix.lwp"
    save_profile(profile, path)
    document = profile_document(load_profile(path))
    one, four, long = document["models"]
    # 16 x 32 + 32 x 4 weights of two bytes, whatever the batch; the work grows with the rows.
    assert [sum(layer["weight_bytes"] for layer in m["layers"]) for m in (one, four, long)] == [1280] * 3
    assert one["compute_cycles"] < four["compute_cycles"] < long["compute_cycles"]
    assert (one["source"], one["dims"]["seq"], long["dims"]["seq"]) == ("net.onnx", 8, 64)
    assert len(one["sha256"]) == 64
    assert document["weaves"][0]["members"] == [{"name": "short", "batch": 4}, {"name": "long", "batch": 1}]
    assert document["npu"]["name"] == "tiny"


def test_the_same_input_gives_the_same_bytes(model_file: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "a.lwp", tmp_path / "b.lwp"]
    for path in paths:
        save_profile(compile_models([ModelRequest("net", str(model_file), dims={"seq": 8})], NPU), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_requests_in_words(model_file: Path, tmp_path: Path) -> None:
    assert parse_request("zoo:resnet50") == ModelRequest("resnet50", "zoo:resnet50")
    assert parse_request(f"mine={model_file}") == ModelRequest("mine", str(model_file))
    assert parse_request(str(model_file)).entry == "net"
    odd = tmp_path / "a=b.onnx"
    odd.write_bytes(model_file.read_bytes())
    assert parse_request(str(odd)) == ModelRequest("a=b", str(odd))
    for wrong in ("", "name=", "=model.onnx"):
        with pytest.raises(ModelError):
            parse_request(wrong)


def test_requests_that_cannot_be_compiled(model_file: Path) -> None:
    twice = [ModelRequest("net", str(model_file)), ModelRequest("net", "other.onnx")]
    with pytest.raises(ProfileError, match="'net'; name them apart"):
        compile_models(twice, NPU)
    with pytest.raises(ProfileError, match="no model"):
        compile_models([], NPU)
    for batches in ((), (0,), (2, 2)):
        with pytest.raises(ProfileError, match="batch"):
            compile_models([ModelRequest("net", str(model_file), batches=batches)], NPU)
    with pytest.raises(ModelError, match="missing"):
        compile_models(["missing.onnx"], NPU)


def test_zoo_models_take_defaults_unless_bound() -> None:
    default, short = load_graph("zoo:bert-base"), load_graph("zoo:bert-base", dims={"tokens": 16})
    assert default.macs == 35_333_406_720
    assert short.macs < default.macs / 20
    with pytest.raises(
        ModelError, match=r"zoo:resnet51: the zoo has no model 'resnet51'; nearest: zoo:resnet50"
    ):
        load_graph("zoo:resnet51")


def test_measured_layers_override_the_modelled_ones(model_file: Path, tmp_path: Path) -> None:
    measured = tmp_path / "measured.csv"
    measured.write_text("layer,compute_cycles,dram_bytes,weight_bytes\nh,12345,2000,1024\n")
    plain = ModelRequest("net", str(model_file), (1, 2), dims={"seq": 4})
    profile = compile_models([replace(plain, overrides={2: measured})], NPU)
    modelled = compile_models([plain], NPU)
    assert profile.find("net", 1).table.compute_cycles.tolist() == (
        modelled.find("net", 1).table.compute_cycles.tolist()
    )
    changed, before = profile.find("net", 2), modelled.find("net", 2)
    assert changed.table.compute_cycles[0] == 12345
    assert changed.table.compute_cycles[1:].tolist() == before.table.compute_cycles[1:].tolist()
    assert changed.standalone_cycles > 12345 > before.standalone_cycles
    assert "net: batch 2 takes measured costs from measured.csv" in profile.warnings
    with pytest.raises(ProfileError, match="batch 4, which is not compiled"):
        compile_models([replace(plain, overrides={4: measured})], NPU)
    measured.write_text("layer,compute_cycles,dram_bytes,weight_bytes\nhh,1,1,1\n")
    with pytest.raises(ConfigError, match=r"measured\.csv:2: .*no layer 'hh'; did you mean 'h'"):
        compile_models([replace(plain, overrides={2: measured})], NPU)
