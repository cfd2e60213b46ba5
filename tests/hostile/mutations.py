"""Mutations of models, chosen by a seed.

Some change bytes, as a bad disk or download would; others change the structure, as a bad exporter or an
attacker would.
"""

from __future__ import annotations

import random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hostile.seeds import SEEDS

__all__ = ["mutant"]

HUGE = (2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -1, 0, -(2**63), -2, 10**6)


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
