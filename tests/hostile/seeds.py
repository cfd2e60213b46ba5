"""The models that are mutated: small, and between them of every kind of structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from layerweaver import models

__all__ = ["SEEDS"]

DATA = Path(__file__).parents[1] / "data" / "onnx"

CONTROL_FLOW = """
    <ir_version: 10, opset_import: ["" : 21, "local" : 1]>
    main (float[batch, N] x, int64 trips, bool flag) => (float[batch, M] y, float[K, batch, N] z)
    <float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, int64[1] axis = {1}, int64 three = {3},
     bool yes = {1}, int64[2] target = {0, -1}, int64[2] reps = {2, 1}>
    {
        s = Shape (x)
        n = Gather (s, axis)
        flat = Reshape (x, target)
        big = ConstantOfShape (s)
        h = If (flag) <
            then_branch = a () => (float[P, Q] p) { p = local.scale <factor = 2.5> (flat) },
            else_branch = b () => (float[P, Q] p) { q = Tile (flat, reps) p = Slice (q, target, s) }>
        last, z = Loop (three, yes, x) <
            body = c (int64 i, bool go, float[R, N] state) => (bool on, float[R, N] out, float[R, N] scan) {
                on = Identity (go)
                out = Add (state, x)
                scan = Relu (out)
            }>
        k = Range (three, trips, three)
        e = Expand (h, s)
        t = Concat <axis: int = 0> (e, last, x)
        u = Split <axis: int = 0, num_outputs: int = 3> (t)
        m = MatMul (u, w)
        y = Softmax <axis: int = -1> (m)
    }
    <domain: "local", opset_import: ["" : 21]>
    scale <factor: float = 1.0> (x) => (y) {
        f = Constant <value_float: float = @factor> ()
        y = Mul (x, f)
    }
"""

VISION = """
    <ir_version: 8, opset_import: ["" : 17]>
    main (float[batch, 8, 12, 12] x) => (float[batch, 10] y)
    {
        k = Constant <value_ints: ints = [16, 8, 3, 3]> ()
        w = ConstantOfShape (k)
        c = Conv <kernel_shape: ints = [3, 3], strides: ints = [2, 2], pads: ints = [1, 1, 1, 1],
                  dilations: ints = [1, 1], group: int = 1> (x, w)
        v = ConstantOfShape (k)
        d = ConvTranspose <strides: ints = [2, 2], output_padding: ints = [1, 1]> (c, v)
        r = Relu (d)
        p = MaxPool <kernel_shape: ints = [2, 2], strides: ints = [2, 2], ceil_mode: int = 1> (r)
        g = GlobalAveragePool (p)
        pads = Constant <value_ints: ints = [0, 0, 1, 1, 0, 0, 1, 1]> ()
        padded = Pad (g, pads)
        scales = Constant <value_floats: floats = [1.0, 1.0, 2.0, 2.0]> ()
        none = Constant <value_floats: floats = [1.0]> ()
        resized = Resize <mode: string = "nearest"> (padded, none, scales)
        f = Flatten <axis: int = 1> (resized)
        shape = Constant <value_ints: ints = [10, 288]> ()
        fw = ConstantOfShape (shape)
        gemm = Gemm <transB: int = 1> (f, fw)
        count = Constant <value_ints: ints = [5]> ()
        values, indices = TopK (gemm, count)
        depth = Constant <value_int: int = 10> ()
        onoff = Constant <value_floats: floats = [0.0, 1.0]> ()
        hot = OneHot (indices, depth, onoff)
        cast = Cast <to: int = 1> (hot)
        dots = Einsum <equation: string = "bij,bj->bi"> (cast, gemm)
        nz = NonZero (gemm)
        y = Concat <axis: int = 1> (values, dots)
    }
"""


def recurrent() -> onnx.ModelProto:
    """A quantised product, an LSTM, sequences."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.integers(-8, 8, (8, 16)).astype(np.int8), "q"),
        numpy_helper.from_array(np.array(0.1, np.float32), "scale"),
        numpy_helper.from_array(np.array(0, np.int8), "zero"),
        numpy_helper.from_array(rng.random((2, 32, 16), np.float32), "W"),
        numpy_helper.from_array(rng.random((2, 32, 8), np.float32), "R"),
        numpy_helper.from_array(np.array([2, 2, 2], np.int64), "parts"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("LSTM", ["p", "W", "R"], ["l", "h", ""], hidden_size=8, direction="bidirectional"),
        helper.make_node("SplitToSequence", ["p", "parts"], ["s"], axis=0),
        helper.make_node("SequenceLength", ["s"], ["count"]),
        helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "recurrent",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [6, "batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def seeds() -> dict[str, bytes]:
    """The models that are mutated."""
    return {
        "control-flow": parser.parse_model(CONTROL_FLOW).SerializeToString(),
        "vision": parser.parse_model(VISION).SerializeToString(),
        "recurrent": recurrent().SerializeToString(),
        "ncf": (DATA / "ncf.legacy.onnx").read_bytes(),
        "gnmt": (DATA / "gnmt.legacy.onnx").read_bytes(),
        "resnet50": (DATA / "resnet50.legacy.onnx").read_bytes(),
        "mobilenetv2": (DATA / "mobilenetv2.legacy.onnx").read_bytes(),
        "bert": (DATA / "bert_base.legacy.dyn.onnx").read_bytes(),
        "xlnet": models.build("xlnet-base").SerializeToString(),
        "gpt2": models.build("gpt2-decode").SerializeToString(),
    }


SEEDS = seeds()
