"""Which constants are parameters and how many bytes they take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import DType, LayerGraph
from layerweaver.ir.export import graph_document

Import = Callable[..., LayerGraph]

COUNTED = {
    "bias of a product": (
        "(float[2,4] x) => (float[2,6] y) <float[6,4] w, float[6] b> { y = Gemm<transB=1>(x, w, b) }",
        30,
        120,
    ),
    "single numbers": (
        "(float[2,4] x) => (float[2,4] y) <float half, float[1] one> { a = Mul(x, half) y = Add(a, one) }",
        0,
        0,
    ),
    "vectors of elementwise work": (
        "(float[2,4] x) => (float[2,4] y) <float[4] s> { y = Mul(x, s) }",
        4,
        16,
    ),
    "integers of elementwise work": (
        "(int64[2,4] x) => (int64[2,4] y) <int64[4] s> { y = Add(x, s) }",
        0,
        0,
    ),
    "masks filled to the length of the inputs": (
        "(float[2,4] x) => (float[2,4] y) { s = Shape(x) "
        "f = ConstantOfShape<value = float[1] {-9.0}>(s) m = Trilu<upper=1>(f) y = Add(x, m) }",
        0,
        0,
    ),
    "shared weights, once": (
        "(float[2,4] x) => (float[2,4] y) <float[4,4] w> { a = MatMul(x, w) y = MatMul(a, w) }",
        16,
        64,
    ),
    "behind Identity and Transpose": (
        "(float[2,4] x) => (float[2,6] y) <float[6,4] w> "
        "{ v = Identity(w) t = Transpose(v) y = MatMul(x, t) }",
        24,
        96,
    ),
    "behind Cast, at the stored type": (
        "(float[2,4] x) => (float[2,6] y) <float16[4,6] w> { v = Cast<to=1>(w) y = MatMul(x, v) }",
        24,
        48,
    ),
    "behind DequantizeLinear, one scale": (
        "(float[2,4] x) => (float[2,6] y) <int8[4,6] w, float s, int8 z> "
        "{ v = DequantizeLinear(w, s, z) y = MatMul(x, v) }",
        24,
        24,
    ),
    "behind DequantizeLinear, a scale per channel": (
        "(float[2,4] x) => (float[2,6] y) <int8[4,6] w, float[6] s> "
        "{ v = DequantizeLinear<axis=1>(w, s) y = MatMul(x, v) }",
        30,
        48,
    ),
    "four bits behind DequantizeLinear": (
        "(float[2,4] x) => (float[2,6] y) <int4[4,6] w, float s> "
        "{ v = DequantizeLinear(w, s) y = MatMul(x, v) }",
        24,
        12,
    ),
    "eight-bit floating point": (
        "(float[2,4] x) => (float[2,6] y) <float8e4m3fn[4,6] w, float s> "
        "{ v = DequantizeLinear(w, s) y = MatMul(x, v) }",
        24,
        24,
    ),
    "batch normalisation: scale and bias": (
        "(float[2,4,3] x) => (float[2,4,3] y) <float[4] s, float[4] b, float[4] m, float[4] v> "
        "{ y = BatchNormalization(x, s, b, m, v) }",
        8,
        32,
    ),
    "layer normalisation": (
        "(float[2,4] x) => (float[2,4] y) <float[4] s, float[4] b> { y = LayerNormalization(x, s, b) }",
        8,
        32,
    ),
    "initial states of zeros": (
        "(float[7,2,5] x) => (float[7,1,2,3] y) <float[1,3,5] w, float[1,3,3] r, float[1,2,3] h> "
        '{ y = RNN<hidden_size=3>(x, w, r, "", "", h) }',
        24,
        96,
    ),
    "slopes": ("(float[2,4] x) => (float[2,4] y) <float[4] s> { y = PRelu(x, s) }", 4, 16),
    "masks": (
        "(float[2,4] x) => (float[2,4] y) <bool[2,4] c, float n> { y = Where(c, x, n) }",
        0,
        0,
    ),
}


@pytest.mark.parametrize("case", COUNTED)
@pytest.mark.parametrize("fuse", [True, False])
def test_what_counts(import_text: Import, case: str, fuse: bool) -> None:
    text, parameters, weight_bytes = COUNTED[case]
    graph = import_text(f"g {text}", opset=21, fuse=fuse)
    assert graph.parameters == parameters
    assert sum(tensor.nbytes() for tensor in graph.parameter_tensors()) == weight_bytes


def test_weights_made_by_constant_of_shape(import_text: Import) -> None:
    graph = import_text(
        """g (float[2,4] x) => (float[2,6] y) <int64[2] s = {4, 6}> {
            w = ConstantOfShape(s)
            y = MatMul(x, w)
        }"""
    )
    assert graph.parameters == 24
    assert graph.layers[0].matrix is not None
    assert graph.layers[0].matrix.weights


def test_four_bit_weights_are_half_a_byte(import_text: Import) -> None:
    graph = import_text(
        "g (float[3,64] x) => (float[3,10] y) <uint8[10,2,16] w, float[20] s> "
        "{ y = com.microsoft.MatMulNBits<K=64, N=10, bits=4, block_size=32>(x, w, s) }",
        domain="com.microsoft",
    )
    weight, scales = graph.layers[0].weights
    assert (weight.elements, weight.dtype, weight.nbytes()) == (640, DType.UINT4, 320)
    assert scales.elements == 20


def test_only_used_rows_of_a_table_are_fetched(import_text: Import) -> None:
    graph = import_text(
        """g (int64[1,6] ids) => (float[1,6,8] y)
        <float[100,8] t, float[512,8] p, int64[1,6] where = {0,1,2,3,4,5}> {
            a = Gather(t, ids)
            b = Gather(p, where)
            y = Add(a, b)
        }"""
    )
    assert graph.parameters == 612 * 8
    rows = {gather.table.elements: gather.rows.elements for layer in graph for gather in layer.gathers}
    assert rows == {800: 48, 4096: 48}
    assert not any(layer.weights for layer in graph)


def test_a_sliced_weight_is_fetched_in_parts(import_text: Import) -> None:
    graph = import_text(
        """g (float[2,4] x) => (float[2,12] y) <float[4,12] w> {
            a, b, c = Split<axis=1, num_outputs=3>(w)
            q = MatMul(x, a)
            k = MatMul(x, b)
            v = MatMul(x, c)
            y = Concat<axis=1>(q, k, v)
        }""",
    )
    assert graph.parameters == 48
    assert [sum(tensor.elements for tensor in layer.weights) for layer in graph if layer.matrix] == [16] * 3


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("bert_base.legacy.dyn", 109_364_736),
        ("gnmt.legacy", 192_782_592),
        ("inceptionv3.legacy", 23_802_088),
        ("ncf.legacy", 31_832_577),
        ("resnet50.legacy", 25_507_944),
    ],
)
def test_stored_parameters_of_exported_graphs(onnx_folder: Path, name: str, parameters: int) -> None:
    """Exporters store equal tensors once: the sum over the file's real-valued initializers."""
    path = onnx_folder / f"{name}.onnx"
    shapes = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (1, 384))
    graph = import_model(path, ImportOptions(shapes=shapes if "bert" in name else {}))
    assert graph.parameters == parameters


def test_light_resnet50_has_the_published_parameter_count() -> None:
    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_resnet50.onnx"
    if not path.exists():
        pytest.skip("this installation of onnx lacks its light models")
    graph = import_model(path)
    assert graph.parameters == 25_557_032
    totals = graph_document(graph)["totals"]
    assert totals["weight_bytes"] == 4 * 25_557_032
