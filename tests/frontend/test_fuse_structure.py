"""Schedulable layers are those that an NPU runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from layerweaver.frontend.importer import import_model
from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import DType, LayerGraph, VectorCategory

Import = Callable[..., LayerGraph]
TOKENS = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (1, 384))


@pytest.mark.parametrize("name", ["resnet50.legacy", "resnet50.dynamo"])
def test_resnet50_is_its_products_and_two_pools(onnx_folder: Path, name: str) -> None:
    graph = import_model(onnx_folder / f"{name}.onnx")
    kinds = Counter(layer.kind.value for layer in graph)
    assert kinds == {"matrix": 54, "vector": 2}
    residual = [layer for layer in graph if layer.operators == ("Conv", "Add", "Relu")]
    assert len(residual) == 16


@pytest.mark.parametrize(("name", "layers"), [("bert_base.legacy.dyn", 12), ("bert_large.dynamo", 24)])
def test_bert_is_eight_products_per_layer(onnx_folder: Path, name: str, layers: int) -> None:
    graph = import_model(onnx_folder / f"{name}.onnx", ImportOptions(shapes=TOKENS))
    kinds = Counter(layer.kind.value for layer in graph)
    assert kinds == {"matrix": 8 * layers + 1, "gather": 2, "vector": 1}
    roles = [layer.role for layer in graph if layer.role]
    assert roles == ["attention-scores", "attention-context"] * layers
    scores = next(layer for layer in graph if layer.role == "attention-scores")
    assert {"Add", "Softmax", "IsNaN", "Where"} <= set(scores.operators)
    gelus = [layer for layer in graph if any(work.operator == "Gelu" for work in layer.vector)]
    assert len(gelus) == layers
    norms = [layer for layer in graph if "LayerNormalization" in layer.operators]
    assert len(norms) == 2 * layers + 1
    assert all(layer.kind.value in ("matrix", "gather") for layer in norms)


PATTERNS = {
    "erf gelu": (
        "Gelu",
        """(float[2,8] x) => (float[2,8] y) <float r, float one, float half> {
            a = Relu(x) d = Div(a, r) e = Erf(d) p = Add(e, one) m = Mul(a, p) y = Mul(m, half)
        }""",
    ),
    "erf gelu, half first": (
        "Gelu",
        """(float[2,8] x) => (float[2,8] y) <float r, float one, float half> {
            a = Relu(x) h = Mul(half, a) d = Mul(a, r) e = Erf(d) p = Add(one, e) y = Mul(h, p)
        }""",
    ),
    "tanh gelu": (
        "Gelu",
        """(float[2,8] x) => (float[2,8] y) <float three, float c, float s, float one, float half> {
            a = Relu(x) q = Pow(a, three) k = Mul(q, c) t = Add(a, k) u = Mul(t, s) v = Tanh(u)
            w = Add(v, one) m = Mul(a, w) y = Mul(m, half)
        }""",
    ),
    "tanh gelu of products": (
        "Gelu",
        """(float[2,8] x) => (float[2,8] y) <float c, float s, float one, float half> {
            a = Relu(x) p = Mul(a, c) q = Mul(a, p) k = Mul(a, q) t = Add(a, k) u = Mul(t, s) v = Tanh(u)
            w = Add(v, one) m = Mul(w, half) y = Mul(a, m)
        }""",
    ),
    "silu": ("Swish", "(float[2,8] x) => (float[2,8] y) { a = Relu(x) s = Sigmoid(a) y = Mul(a, s) }"),
    "hard swish": (
        "HardSwish",
        """(float[2,8] x) => (float[2,8] y) <float three, float z, float six> {
            a = Relu(x) p = Add(a, three) c = Clip(p, z, six) m = Mul(a, c) y = Div(m, six)
        }""",
    ),
    "mish": (
        "Mish",
        "(float[2,8] x) => (float[2,8] y) { a = Relu(x) s = Softplus(a) t = Tanh(s) y = Mul(a, t) }",
    ),
    "layer norm": (
        "LayerNormalization",
        """(float[2,8] x) => (float[2,8] y) <float two, float e, float[8] g, float[8] b> {
            a = Relu(x) m = ReduceMean<axes=[-1]>(a) d = Sub(a, m) q = Pow(d, two)
            v = ReduceMean<axes=[-1]>(q)
            w = Add(v, e) s = Sqrt(w) n = Div(d, s) h = Mul(n, g) y = Add(h, b)
        }""",
    ),
    "layer norm, squared by a product, bare": (
        "LayerNormalization",
        """(float[2,8] x) => (float[2,8] y) <float e> {
            a = Relu(x) m = ReduceMean<axes=[-1]>(a) d = Sub(a, m) q = Mul(d, d) v = ReduceMean<axes=[-1]>(q)
            w = Add(v, e) s = Sqrt(w) r = Reciprocal(s) y = Mul(d, r)
        }""",
    ),
    "rms norm behind casts": (
        "RMSNormalization",
        """(float16[2,8] x) => (float16[2,8] y) <float two, float e, float16[8] g> {
            a = Relu(x) c = Cast<to=1>(a) q = Pow(c, two)
            v = ReduceMean<axes=[-1]>(q) w = Add(v, e) s = Sqrt(w)
            r = Reciprocal(s) n = Mul(c, r) k = Cast<to=10>(n) y = Mul(g, k)
        }""",
    ),
    "softmax": (
        "Softmax",
        """(float[2,8] x) => (float[2,8] y) {
            a = Relu(x) m = ReduceMax<axes=[-1]>(a) d = Sub(a, m) e = Exp(d) s = ReduceSum<keepdims=1>(e)
            y = Div(e, s)
        }""",
    ),
}


@pytest.mark.parametrize("case", PATTERNS)
def test_written_out_operators_are_recognised(import_text: Import, case: str) -> None:
    name, text = PATTERNS[case]
    graph = import_text(f"g {text}", opset=11 if "axes=" in text else 20)
    (layer,) = graph
    assert [work.operator for work in layer.vector if work.operator not in ("Relu", "Cast")] == [name]
    assert len(layer.nodes) == len(layer.operators) > 2
    assert graph.parameters == sum(tensor.elements for tensor in layer.weights)


def test_what_is_used_elsewhere_is_no_pattern(import_text: Import) -> None:
    graph = import_text(
        """g (float[2,8] x) => (float[2,8] y, float[2,8] s) {
            a = Relu(x) s = Sigmoid(a) y = Mul(a, s)
        }"""
    )
    assert not any(work.operator == "Swish" for layer in graph for work in layer.vector)


ATTENTION = """g (float[2,6,8] x, float[2,1,1,6] mask) => (float[2,6,8] y)
<float[8,8] wq, float[8,8] wk, float[8,8] wv, float[8,8] wo, float scale, float zero,
 int64[4] split = {0,0,2,4},
 int64[3] join = {0,0,8}> {
    q0 = MatMul(x, wq) q1 = Reshape(q0, split) q2 = Transpose<perm=[0,2,1,3]>(q1)
    k0 = MatMul(x, wk) k1 = Reshape(k0, split) k2 = Transpose<perm=[0,2,3,1]>(k1)
    v0 = MatMul(x, wv) v1 = Reshape(v0, split) v2 = Transpose<perm=[0,2,1,3]>(v1)
    s0 = MatMul(q2, k2) s1 = Mul(s0, scale) s2 = Add(s1, mask) s3 = Softmax(s2)
    n = IsNaN(s3) s4 = Where(n, zero, s3)
    c0 = MatMul(s4, v2) c1 = Transpose<perm=[0,2,1,3]>(c0) c2 = Reshape(c1, join)
    y = MatMul(c2, wo)
}"""


def test_attention_of_twenty_operators_is_six_layers(import_text: Import) -> None:
    graph = import_text(ATTENTION)
    assert [layer.role for layer in graph] == ["", "", "", "attention-scores", "attention-context", ""]
    scores, context = graph.layers[3:5]
    assert scores.operators == ("MatMul", "Mul", "Add", "Softmax", "IsNaN", "Where")
    assert context.operators == ("MatMul", "Transpose")
    assert [tensor.name for tensor in context.inputs] == ["s4", "v2"]


QUANTIZED = """g (float[1,4,8,8] x) => (float[1,6,8,8] y)
<float s, uint8 z, int8[4,4,3,3] w, float[4] ws, int8[4] wz, int8[6,4,1,1] u, float us, int8 uz> {
    q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
    wd = DequantizeLinear<axis=0>(w, ws, wz)
    c = Conv<pads=[1,1,1,1]>(d, wd) r = Relu(c)
    rq = QuantizeLinear(r, s, z) rd = DequantizeLinear(rq, s, z)
    ud = DequantizeLinear(u, us, uz)
    y = Conv(rd, ud)
}"""


def test_quantised_pairs_fold_into_integer_products(import_text: Import) -> None:
    graph = import_text(QUANTIZED)
    assert [layer.kind.value for layer in graph] == ["vector", "matrix", "matrix"]
    first, second = graph.layers[1:]
    assert [tensor.dtype for tensor in (*first.inputs, *first.outputs, *second.inputs)] == [DType.UINT8] * 3
    assert first.operators == ("Conv", "DequantizeLinear", "Relu", "QuantizeLinear")
    assert first.weights[0].dtype is DType.INT8
    assert graph.layers[0].operators == ("QuantizeLinear",)


FUSED = {
    "batch norm folds away": (
        """(float[1,4,8,8] x) => (float[1,4,8,8] y)
        <float[4,4,1,1] w, float[4] s, float[4] b, float[4] m, float[4] v> {
            c = Conv(x, w) n = BatchNormalization(c, s, b, m, v) y = Relu(n)
        }""",
        [("Conv", "BatchNormalization", "Relu")],
        [["Relu"]],
    ),
    "so does one that was exported as a product and a sum": (
        """(float[1,4,8,8] x) => (float[1,6,8,8] y) <float[6,4,1,1] w, float[6,1,1] s, float[6,1,1] b> {
            c = Conv(x, w) m = Mul(c, s) n = Add(m, b) y = Relu(n)
        }""",
        [("Conv", "Mul", "Add", "Relu")],
        [["Relu"]],
    ),
    "a constant over a result is no factor": (
        "(float[2,4] x) => (float[2,6] y) <float[4,6] w, float[6] b> { m = MatMul(x, w) y = Div(b, m) }",
        [("MatMul", "Div")],
        [["Div"]],
    ),
    "a bias costs nothing": (
        "(float[2,4] x) => (float[2,6] y) <float[4,6] w, float[6] b> { m = MatMul(x, w) y = Add(b, m) }",
        [("MatMul", "Add")],
        [[]],
    ),
    "the later side of a residual takes the sum": (
        """(float[2,4] x) => (float[2,4] y) <float[4,4] w, float[4,4] v> {
            a = MatMul(x, w) b = MatMul(x, v) s = Add(a, b) y = Relu(s)
        }""",
        [("MatMul",), ("MatMul", "Add", "Relu")],
        [[], ["Add", "Relu"]],
    ),
    "a gate is not spread over a small product": (
        """(float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4,4,1,1] w> {
            p = GlobalAveragePool(x) g = Conv(p, w) s = Sigmoid(g) y = Mul(x, s)
        }""",
        [("GlobalAveragePool",), ("Conv", "Sigmoid"), ("Mul",)],
        [["GlobalAveragePool"], ["Sigmoid"], ["Mul"]],
    ),
    "parts of a concatenation are written in place": (
        """(float[1,4,8,8] x) => (float[1,4,8,8] y) <float[4,4,1,1] u, float[4,4,1,1] v, float[4,8,1,1] w> {
            a = Conv(x, u) b = Conv(x, v) c = Concat<axis=1>(a, b) y = Conv(c, w)
        }""",
        [("Conv",), ("Conv", "Concat"), ("Conv",)],
        [[], [], []],
    ),
    "an output is written though its reader is fused": (
        "(float[2,4] x) => (float[2,4] m, float[2,4] y) <float[4,4] w> { m = MatMul(x, w) y = Relu(m) }",
        [("MatMul",), ("Relu",)],
        [[], ["Relu"]],
    ),
    "elementwise chains are one layer": (
        "(float[2,4] x) => (float[2,4] y) { a = Relu(x) b = Neg(a) c = Abs(b) y = Add(c, x) }",
        [("Relu", "Neg", "Abs", "Add")],
        [["Relu", "Neg", "Abs", "Add"]],
    ),
    "a pool stays alone": (
        """(float[1,4,8,8] x) => (float[1,4,4,4] y) <float[4,4,1,1] w> {
            c = Conv(x, w) r = Relu(c) y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
        }""",
        [("Conv", "Relu"), ("MaxPool",)],
        [["Relu"], ["MaxPool"]],
    ),
}


@pytest.mark.parametrize("case", FUSED)
def test_what_is_fused_into_what(import_text: Import, case: str) -> None:
    text, operators, work = FUSED[case]
    graph = import_text(f"g {text}")
    assert [layer.operators for layer in graph] == operators
    assert [[one.operator for one in layer.vector] for layer in graph] == work


def test_without_fusion_every_node_that_is_no_view_is_a_layer(import_text: Import) -> None:
    graph = import_text(ATTENTION, fuse=False)
    assert len(graph) == 15
    assert all(len(layer.nodes) == 1 for layer in graph)


def test_pool_windows_are_kept(import_text: Import) -> None:
    graph = import_text(
        "g (float[1,4,8,8] x) => (float[1,4,4,4] y) "
        "{ y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x) }"
    )
    (work,) = graph.layers[0].vector
    assert (work.category, work.elements, work.window) == (VectorCategory.POOLING, 64, 9)


def test_scales_of_dynamic_quantisation_are_no_layers(import_text: Import) -> None:
    graph = import_text(
        """g (float[4, 8] x) => (float[4, 6] y)
        <int8[8, 6] w, int8 z, float[6] s> {
            q, t, o = DynamicQuantizeLinear(x)
            f = Mul(t, s)
            [product] i = MatMulInteger(q, w, o, z)
            c = Cast<to=1>(i)
            y = Mul(c, f)
        }"""
    )
    assert [layer.kind.value for layer in graph] == ["vector", "matrix"]
    assert Counter(graph["product"].operators) == {"MatMulInteger": 1, "Mul": 2, "Cast": 1}
