"""Damaged and hostile models: one clear line or a clean result, within 10 seconds and 1 GB each.

Every case is one mutation, chosen by a seed, of a small real or made-up model. Some change bytes, as a bad
disk or download would; others change the structure, as a bad exporter or an attacker would.
"""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from layerweaver import models
from layerweaver.frontend import import_model
from layerweaver.frontend.reader import read_model
from layerweaver.ir import LayerweaverError

resource = pytest.importorskip("resource", reason="memory is bounded by setrlimit")

DATA = Path(__file__).parents[1] / "data" / "onnx"
SECONDS = 10
MEMORY_BYTES = 1 << 30
FAST_CASES, ALL_CASES = 100, 500
DIMS = {"batch": 2, "seq": 16, "tokens": 16, "past": 7, "N": 4, "M": 3}
HUGE = (2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -1, 0, -(2**63), -2, 10**6)

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


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    at = rng.randrange(len(damaged))
    damaged[at : at + rng.choice((1, 4, 30))] = rng.randbytes(rng.choice((1, 4, 30)))
    return bytes(damaged)


def declare_huge_length(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + b"\xff" * rng.choice((3, 4, 8, 9, 11)) + b"\x7f" + data[at + 1 :]


def drop_or_repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice((1, 10, 500)))
    return data[:start] + data[start:end] * rng.choice((0, 2, 3)) + data[end:]


BYTE_MUTATIONS = (truncate, flip_bits, overwrite, declare_huge_length, drop_or_repeat)


def any_graph(model: onnx.ModelProto, rng: random.Random) -> onnx.GraphProto:
    """The main graph, mostly, or one that is nested in it."""
    graphs = [model.graph]
    for graph in graphs:
        graphs += [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return rng.choice([model.graph, *graphs])


def any_node(model: onnx.ModelProto, rng: random.Random) -> onnx.NodeProto:
    nodes: list[onnx.NodeProto] = list(any_graph(model, rng).node or model.graph.node)
    return rng.choice(nodes)


def any_name(model: onnx.ModelProto, rng: random.Random) -> str:
    node = rng.choice(model.graph.node)
    names: list[str] = [*node.input, *node.output, "nowhere", ""]
    return rng.choice(names)


def rewire(model: onnx.ModelProto, rng: random.Random) -> None:
    """Cycles, values from nowhere, inputs left out or too many."""
    node = any_node(model, rng)
    match rng.randrange(4):
        case 0 if node.input:
            node.input[rng.randrange(len(node.input))] = any_name(model, rng)
        case 1 if node.input:
            del node.input[rng.randrange(len(node.input)) :]
        case 2:
            node.input.extend(any_name(model, rng) for _ in range(rng.choice((1, 3, 40))))
        case _:
            node.input[:] = list(node.output) + list(node.input)


def rename_outputs(model: onnx.ModelProto, rng: random.Random) -> None:
    node = any_node(model, rng)
    if rng.random() < 0.5 and node.output:
        node.output[0] = any_name(model, rng)
    else:
        del node.output[rng.randrange(len(node.output) + 1) :]
        node.output.extend(["extra"] * rng.randrange(3))


def shuffle_or_drop(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = any_graph(model, rng)
    nodes = list(graph.node)
    rng.shuffle(nodes)
    del graph.node[:]
    graph.node.extend(nodes if rng.random() < 0.5 else nodes[1:])


def change_operator(model: onnx.ModelProto, rng: random.Random) -> None:
    names = sorted({schema.name for schema in onnx.defs.get_all_schemas() if not schema.deprecated})
    node = any_node(model, rng)
    node.op_type = rng.choice(names)
    if rng.random() < 0.5:
        del node.attribute[:]


def change_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    with_attributes = [node for node in any_graph(model, rng).node if node.attribute]
    if not with_attributes:
        return
    node = rng.choice(with_attributes)
    attribute = rng.choice(node.attribute)
    value: object = rng.choice(
        (
            rng.choice(HUGE),
            [rng.choice(HUGE) for _ in range(rng.choice((1, 2, 4, 9)))],
            rng.choice((float("nan"), float("inf"), -1.5)),
            rng.choice(("", "same_upper", "ij,jk->ik", "...i,i...->", "\u00e9\n")),
            [0.5, float("nan")],
            numpy_helper.from_array(np.array([rng.choice(HUGE)], np.int64)),
        )
    )
    changed = helper.make_attribute(attribute.name, value)
    if rng.random() < 0.3:
        attribute.type = rng.randrange(15)
    else:
        attribute.CopyFrom(changed)


def change_extents(model: onnx.ModelProto, rng: random.Random) -> None:
    """Enormous, negative, missing or unreadable extents of inputs and constants."""
    if rng.random() < 0.5 and model.graph.initializer:
        tensor = rng.choice(model.graph.initializer)
        if tensor.dims and rng.random() < 0.7:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(HUGE)
        else:
            tensor.dims.append(rng.choice(HUGE))
        if rng.random() < 0.5:
            tensor.data_type = rng.randrange(30)
        return
    value = rng.choice([*model.graph.input, *model.graph.output])
    dims = value.type.tensor_type.shape.dim
    names = (
        "(" * 500,
        "9" * 5000,
        "batch // 0",
        "2 ** 99999",
        "a" * 60_000,
        "batch * 1000000000",
        "-batch",
        "x\ny",
    )
    if dims and rng.random() < 0.8:
        dim = rng.choice(dims)
        if rng.random() < 0.5:
            dim.dim_value = rng.choice(HUGE)
        else:
            dim.dim_param = rng.choice(names)
    elif dims:
        del dims[rng.randrange(len(dims)) :]
    else:
        value.ClearField("type")


def change_constants(model: onnx.ModelProto, rng: random.Random) -> None:
    """Enormous numbers in the constants that become shapes, trip counts and axes."""
    tensors = [tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT64]
    for node in model.graph.node:
        tensors += [a.t for a in node.attribute if a.HasField("t") and a.t.data_type == TensorProto.INT64]
    tensors = [tensor for tensor in tensors if np.prod(tensor.dims, dtype=np.float64) <= 64]
    if not tensors:
        change_extents(model, rng)
        return
    tensor = rng.choice(tensors)
    values = numpy_helper.to_array(tensor).copy()
    if values.size:
        values.reshape(-1)[rng.randrange(values.size)] = rng.choice(HUGE)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def duplicate(model: onnx.ModelProto, rng: random.Random) -> None:
    """Second nodes, inputs, constants and functions of a name that is there."""
    graph = any_graph(model, rng)
    match rng.randrange(4):
        case 0:
            graph.node.append(rng.choice(model.graph.node))
        case 1:
            graph.input.extend(list(model.graph.input))
        case 2 if graph.initializer:
            graph.initializer.append(rng.choice(graph.initializer))
        case _:
            model.functions.extend(list(model.functions))


def nest(model: onnx.ModelProto, rng: random.Random) -> None:
    """If inside If, or a function that calls itself."""
    if model.functions and rng.random() < 0.5:
        function = model.functions[0]
        call = helper.make_node(
            function.name, list(function.input), list(function.output), domain=function.domain
        )
        function.node.append(call)
        return
    graph = model.graph
    for _ in range(rng.choice((5, 25, 60))):
        node = helper.make_node("If", ["flag"], ["deep"])
        node.attribute.append(onnx.AttributeProto(name="then_branch", type=onnx.AttributeProto.GRAPH))
        node.attribute[0].g.CopyFrom(onnx.GraphProto(name="inner", output=[onnx.ValueInfoProto(name="deep")]))
        graph.node.append(node)
        graph = graph.node[-1].attribute[0].g


def grow(model: onnx.ModelProto, rng: random.Random) -> None:
    """Sizes that double with every node."""
    name = model.graph.input[0].name
    operator = rng.choice(("Concat", "Tile", "Expand", "SequenceInsert", "Einsum"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 2], np.int64), "twos"))
    for index in range(70):
        if operator == "Concat":
            node = helper.make_node("Concat", [name, name], [f"grow{index}"], axis=0)
        elif operator == "Tile":
            node = helper.make_node("Tile", [name, "twos"], [f"grow{index}"])
        elif operator == "Einsum":
            node = helper.make_node("Einsum", [name, name], [f"grow{index}"], equation="...,...->...")
        else:
            node = helper.make_node(operator, [name, name], [f"grow{index}"])
        model.graph.node.append(node)
        name = f"grow{index}"
    model.graph.output[0].name = name


def change_versions(model: onnx.ModelProto, rng: random.Random) -> None:
    if rng.random() < 0.7 and model.opset_import:
        rng.choice(model.opset_import).version = rng.choice((1, 5, 7, 11, 13, 18, 27, 99, 2**40, -1))
    else:
        model.ir_version = rng.choice((0, 1, 3, 99, 2**40, -1))


STRUCTURE_MUTATIONS = (
    rewire,
    rename_outputs,
    shuffle_or_drop,
    change_operator,
    change_attribute,
    change_extents,
    change_constants,
    duplicate,
    nest,
    grow,
    change_versions,
)


def mutant(number: int) -> tuple[str, bytes]:
    """The file of case ``number``, with a name that tells how it was made."""
    rng = random.Random(number)
    name = rng.choice(list(SEEDS))
    data = SEEDS[name]
    kinds = (*BYTE_MUTATIONS, *STRUCTURE_MUTATIONS, *STRUCTURE_MUTATIONS)
    kind = rng.choice(kinds)
    if kind in BYTE_MUTATIONS:
        return f"{name}-{kind.__name__}", kind(data, rng)
    model = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 1, 2))):
        kind(model, rng)
    return f"{name}-{kind.__name__}", model.SerializeToString()


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Stop what runs inside after 10 seconds, and let it have 1 GB more than there was."""

    def out_of_time(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {SECONDS} s")

    status = Path("/proc/self/statm")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    if status.exists():
        in_use = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_BYTES, limits[1]))
    previous = signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def examine(path: Path) -> str:
    """What ``inspect`` needs of a model; the error's line, or "" for a clean result."""
    try:
        symbols = {
            dim
            for value in read_model(path).graph.inputs
            for dim in value.shape or ()
            if isinstance(dim, str) and dim in DIMS
        }
        graph = import_model(path, dims={name: DIMS[name] for name in symbols})
    except LayerweaverError as error:
        return str(error)
    assert graph.macs >= 0
    assert graph.parameters >= 0
    assert int(graph.live_bytes().max(initial=0)) >= 0
    doubled = graph.with_batch(2 * graph.batch)
    assert doubled.macs >= graph.macs
    assert all(warning.isprintable() for warning in graph.warnings)
    return ""


def check(number: int, folder: Path) -> str:
    name, data = mutant(number)
    path = folder / f"{name}.onnx"
    path.write_bytes(data)
    with bounded():
        line = examine(path)
    assert line.isprintable()
    assert not line or str(path) in line
    return line


@pytest.mark.parametrize("name", list(SEEDS))
def test_unharmed_models_are_imported(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(SEEDS[name])
    assert examine(path) == ""


@pytest.mark.parametrize("number", range(FAST_CASES))
def test_mutated_models(number: int, tmp_path: Path) -> None:
    check(number, tmp_path)


@pytest.mark.slow
def test_many_mutated_models(tmp_path: Path) -> None:
    lines = [check(number, tmp_path) for number in range(FAST_CASES, ALL_CASES)]
    refused = sum(map(bool, lines))
    assert 0 < refused < len(lines)


def test_nesting_beyond_the_interpreters_stack(tmp_path: Path) -> None:
    """Ten thousand length prefixes inside one another."""
    data = b""
    for _ in range(10_000):
        attribute = b"\x0a\x01b" + b"\x32" + varint(len(data)) + data + b"\xa0\x01\x05"
        node = b"\x22\x02If\x2a" + varint(len(attribute)) + attribute
        data = b"\x0a" + varint(len(node)) + node
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x08\x0a\x3a" + varint(len(data)) + data)
    with bounded():
        assert "nested more than" in examine(path)


@pytest.mark.slow
def test_files_of_nothing_but_empty_fields(tmp_path: Path) -> None:
    """Five million empty nodes, inputs or extents in 10 MB."""
    count = 5_000_000
    empty: dict[str, Callable[[], bytes]] = {
        "nodes": lambda: b"\x0a\x00" * count,
        "inputs": lambda: b"\x5a\x00" * count,
        "constants": lambda: b"\x2a\x00" * count,
        "names": lambda: b"\x0a" + varint(2 * count) + b"\x0a\x00" * count,
        "extents": lambda: b"\x2a" + varint(2 * count) + b"\x08\x01" * count,
    }
    for name, build in empty.items():
        graph = build()
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(b"\x08\x0a\x42\x02\x10\x11\x3a" + varint(len(graph)) + graph)
        with bounded():
            assert examine(path)


def varint(value: int) -> bytes:
    groups = []
    while True:
        value, low = value >> 7, value & 0x7F
        groups.append(low | (0x80 if value else 0))
        if not value:
            return bytes(groups)
