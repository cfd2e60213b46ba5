from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import onnx
import pytest

from layerweaver.frontend.node.registry import (
    Registry,
    Treatment,
    load_operators,
    load_plugins,
    operator,
)
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import FREE, Free
from layerweaver.frontend.operator_table import operator_table
from layerweaver.ir import LayerGraph, ModelError

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def leave_the_registry_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plug-ins of these tests register for as long as the test runs."""
    registry = load_operators()
    own = {key: list(entries) for key, entries in registry._operators.items()}
    monkeypatch.setattr(registry, "_operators", own)


def test_every_standard_operator_of_every_version_has_a_treatment() -> None:
    registry = load_operators()
    missing = [
        (schema.domain, schema.name, schema.since_version)
        for schema in onnx.defs.get_all_schemas_with_history()
        if registry.find(schema.name, schema.domain, schema.since_version) is None
    ]
    assert missing == []


CONTRIBUTED = """FusedMatMul FusedGemm FusedConv Attention MultiHeadAttention GroupQueryAttention
    PackedAttention QAttention EmbedLayerNormalization SkipLayerNormalization SkipSimplifiedLayerNormalization
    SimplifiedLayerNormalization BiasGelu FastGelu Gelu QuickGelu QLinearAdd QLinearMul QLinearSigmoid
    QLinearLeakyRelu QLinearConcat QLinearGlobalAveragePool QLinearAveragePool QLinearSoftmax QGemm
    MatMulNBits MatMulIntegerToFloat DynamicQuantizeMatMul DynamicQuantizeLSTM NhwcConv NhwcFusedConv
    NhwcMaxPool RotaryEmbedding GatherBlockQuantized MoE QLinearConv QuantizeLinear"""


@pytest.mark.parametrize("operator", CONTRIBUTED.split())
def test_common_contributed_operators_have_a_treatment(operator: str) -> None:
    assert load_operators().find(operator, "com.microsoft", 1) is not None


def test_the_version_in_force_is_the_newest_that_is_not_newer() -> None:
    registry = Registry()

    @operator("Thing", domain="d", since=3, treatment=Treatment.VIEW, registry=registry)
    @operator("Thing", domain="d", since=7, treatment=Treatment.MOVE, registry=registry)
    def thing(_call: Call) -> Free:
        return FREE

    assert registry.find("Thing", "d", 2) is None
    for opset, treatment in (
        (3, Treatment.VIEW),
        (6, Treatment.VIEW),
        (7, Treatment.MOVE),
        (99, Treatment.MOVE),
    ):
        found = registry.find("Thing", "d", opset)
        assert found is not None
        assert found.treatment is treatment


def test_registering_twice_is_an_error() -> None:
    registry = Registry()

    @operator("Thing", registry=registry)
    def first(_call: Call) -> Free:
        return FREE

    with pytest.raises(ModelError, match=r"'Thing' of domain 'ai\.onnx' is registered twice"):
        operator("Thing", registry=registry)(first)


BROKEN = {
    "there_is_no_such_module": None,
    "plugin_with_a_syntax_error": "def (:",
    "plugin_that_fails": "{}['key']",
    "plugin_that_registers_twice": "from layerweaver.frontend.operators.pooling import pool\n"
    "from layerweaver.frontend.node.registry import operator\n"
    "operator('MaxPool')(pool)",
}


@pytest.mark.parametrize("module", BROKEN)
def test_a_broken_plugin_is_named_in_one_line(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = BROKEN[module]
    if text is not None:
        (tmp_path / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
    load_operators()
    with pytest.raises(ModelError, match=rf"'broken' \({module}\)") as caught:
        load_plugins([EntryPoint("broken", module, "layerweaver.operators")])
    assert "\n" not in str(caught.value)


def test_a_plugin_module_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_operator_plugin.py").write_text(
        "from layerweaver.frontend.node.work import View\n"
        "from layerweaver.frontend.node.registry import operator\n"
        "@operator('MyView', domain='my.test.domain', treatment='view')\n"
        "def view(call):\n"
        "    return View(0)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    load_plugins([EntryPoint("mine", "my_operator_plugin", "layerweaver.operators")])
    assert load_operators().find("MyView", "my.test.domain", 1) is not None


def test_the_shipped_operators_are_an_entry_point_themselves() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    section = text.split('[project.entry-points."layerweaver.operators"]')[1]
    assert "layerweaver.frontend.operators" in section.split("[")[0]


def test_the_operator_table_is_up_to_date() -> None:
    assert (ROOT / "docs" / "operators.md").read_text() == operator_table()


def test_unknown_operators_are_costed_by_size_and_named(import_text: Callable[..., LayerGraph]) -> None:
    text = """
    g (float[2, 8] x) => (float[2, 8] y) {
        a = Relu(x)
        [mystery] b = other.domain.Mystery(a)
        y = Relu(b)
    }"""
    graph = import_text(text, domain="other.domain", fuse=False)
    assert any("Mystery" in warning and "mystery" in warning for warning in graph.warnings)
    assert graph["mystery"].vector[0].elements == 16
    with pytest.raises(ModelError, match=r"mystery.*other.domain"):
        import_text(text, domain="other.domain", strict=True)


PATCHES = """
g (float[2, 3, 8, 8] x) => (float[2, 4, 16] y) <float[48, 16] w> {
    [patches] a = other.domain.Patches(x)
    b = Relu(a)
    [product] y = MatMul(b, w)
}"""


def test_a_wrong_guess_of_an_unknown_operators_shape_is_no_error(
    import_text: Callable[..., LayerGraph],
) -> None:
    graph = import_text(PATCHES, domain="other.domain")
    assert any("product" in warning and "guessed" in warning for warning in graph.warnings)
    assert graph.parameters == 48 * 16
    given = import_text(PATCHES, domain="other.domain", shapes={"a": (2, 4, 48)})
    assert given.macs == 2 * 4 * 48 * 16
    with pytest.raises(ModelError, match=r"patches.*other.domain"):
        import_text(PATCHES, domain="other.domain", strict=True)


def test_a_plugin_can_tell_the_shape_of_its_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, import_text: Callable[..., LayerGraph]
) -> None:
    (tmp_path / "my_patches_plugin.py").write_text(
        "from layerweaver.frontend.operators.movement import move_step\n"
        "from layerweaver.frontend.node.values import Info\n"
        "from layerweaver.frontend.node.registry import operator\n"
        "def shape(call):\n"
        "    batch, channels, height, width = call.shape(0)\n"
        "    return (Info(call.dtype(0), (batch, height * width // 16, channels * 16)),)\n"
        "@operator('Patches', domain='my.patches', treatment='move', shape=shape)\n"
        "def patches(call):\n"
        "    return move_step(call, call.output_elements(), ())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    load_plugins([EntryPoint("patches", "my_patches_plugin", "layerweaver.operators")])
    graph = import_text(PATCHES.replace("other.domain", "my.patches"), domain="my.patches", strict=True)
    assert graph.warnings == ()
    assert graph.macs == 2 * 4 * 48 * 16


def test_graphs_with_blocked_channels_count_what_is_stored(import_text: Callable[..., LayerGraph]) -> None:
    nchwc = "com.microsoft.nchwc"
    graph = import_text(
        f"""g (float[1, 3, 16, 16] x) => (float[1, 8, 8, 8] y) <float[16, 3, 3, 3] w, float[16] b> {{
            a = {nchwc}.Conv<activation="Relu", pads=[1, 1, 1, 1], kernel_shape=[3, 3]>(x, w, b)
            p = {nchwc}.MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(a)
            y = {nchwc}.ReorderOutput<channels=8>(p)
        }}""",
        domain=nchwc,
        strict=True,
    )
    assert graph.macs == 16 * 16 * 16 * 3 * 9
    assert graph.warnings == ()
    assert graph.outputs[0].elements == 8 * 8 * 8
