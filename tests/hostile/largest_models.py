"""The largest ONNX models of every kind that are accepted, written byte by byte.

Every builder takes a folder and a share of the largest size, writes its input there and returns the words of
a command that reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, helper

__all__ = ["MODELS", "field"]

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
NODES = 100_000
NAME = "a/rather/long/scope/of/a/module/"


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number: int, payload: bytes | str | int) -> bytes:
    """One field of a message: a number, a text, or a message."""
    if isinstance(payload, int):
        return _varint(number << 3) + _varint(payload)
    data = payload.encode() if isinstance(payload, str) else payload
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(op_type: str, inputs: Iterable[str], outputs: Iterable[str], *attributes: bytes) -> bytes:
    named = [field(1, name) for name in inputs] + [field(2, name) for name in outputs]
    return field(1, b"".join((*named, field(4, op_type), *(field(5, each) for each in attributes))))


def _attribute(name: str, kind: int, number: int, payload: bytes | str | int) -> bytes:
    return field(1, name) + field(number, payload) + field(20, kind)


def _value(number: int, name: str, *shape: int) -> bytes:
    info = helper.make_tensor_value_info(name, FLOAT, shape)
    return field(number, bytes(info.SerializeToString()))


def _tensor(name: str, *dims: int, **more: bytes) -> bytes:
    data = b"".join(field(1, dim) for dim in dims) + field(2, FLOAT) + field(8, name)
    return field(5, data + more.get("payload", b""))


def _write(folder: Path, parts: Iterable[bytes], ending: bytes = b"") -> list[str]:
    """A model of one graph with input x and output y, and what the model has beside it."""
    graph = b"".join((*parts, field(2, "g"), _value(11, "x", 1, 8), _value(12, "y", 1, 8)))
    opset = onnx.OperatorSetIdProto(version=17).SerializeToString()
    path = folder / "model.onnx"
    path.write_bytes(field(1, 8) + field(8, opset) + ending + field(7, graph))
    return ["inspect", str(path), "--json"]


def _chain(count: int, op_type: str = "Relu", *attributes: bytes) -> Iterator[bytes]:
    for place in range(count):
        before = f"{NAME}{place - 1}" if place else "x"
        yield _node(op_type, [before], ["y" if place == count - 1 else f"{NAME}{place}"], *attributes)


def nodes(folder: Path, share: float) -> list[str]:
    """As many nodes as may be walked."""
    return _write(folder, _chain(max(1, int(NODES * share))))


def products(folder: Path, share: float) -> list[str]:
    """As many products, each with weights of its own and an activation: layers and fusion."""
    count, parts = max(1, int(NODES * share / 2)), list[bytes]()
    for place in range(count):
        before = f"{NAME}{place - 1}" if place else "x"
        parts += _node("MatMul", [before, f"w{place}"], [f"m{place}"]), _tensor(f"w{place}", 8, 8)
        parts.append(_node("Relu", [f"m{place}"], ["y" if place == count - 1 else f"{NAME}{place}"]))
    return _write(folder, parts)


def initializers(folder: Path, share: float) -> list[str]:
    """As many weights as may be declared."""
    count = max(1, int(1_100_000 * share))
    return _write(folder, [*_chain(1), *(_tensor(f"{NAME}{place}", 8, 8) for place in range(count))])


def small_constants(folder: Path, share: float) -> list[str]:
    """Weights whose values are read, since they are few each."""
    payload = field(9, bytes(4 * 4096))
    count = max(1, int(60_000 * share))
    return _write(folder, [*_chain(1), *(_tensor(f"w{k}", 4096, payload=payload) for k in range(count))])


def declared(folder: Path, share: float) -> list[str]:
    """As many declared types of values as may be."""
    count = max(1, int(1_999_000 * share))
    return _write(folder, [*_chain(1), *(_value(13, f"{NAME}{k}", 1, 2, 3, 4) for k in range(count))])


def long_names(folder: Path, share: float) -> list[str]:
    """Names of the longest kind."""
    count = max(1, int(3_500 * share))
    text = "n" * 65_000
    return _write(folder, [*_chain(1), *(_tensor(f"{text}{k}", 8, 8) for k in range(count))])


def lists(folder: Path, share: float) -> list[str]:
    """Attributes that are long lists."""
    ints = _attribute("big", 7, 8, b"\xff\x7f" * int((1 << 24) * share * 0.99))
    return _write(folder, [_node("Relu", ["x"], ["y"], ints)])


def many_lists(folder: Path, share: float) -> list[str]:
    """Several of them."""

    def one(name: str) -> bytes:
        return _attribute(name, 7, 8, b"\xff\x7f" * int((1 << 24) * share * 0.99))

    return _write(folder, [_node("Relu", ["x"], ["y"], *(one(f"big{k}") for k in range(3)))])


def short_lists(folder: Path, share: float) -> list[str]:
    """Attributes that are lists just short enough to be read by hand."""

    count = max(1, int(340 * share))

    def one(name: str) -> bytes:
        return _attribute(name, 7, 8, b"".join(_varint(1000 + k) for k in range(20_000)))

    return _write(folder, [_node("Relu", ["x"], ["y"], *(one(f"big{k}") for k in range(count)))])


def texts(folder: Path, share: float) -> list[str]:
    """A long list of texts."""
    data = b"".join(field(9, f"{k % 1_040_000}") for k in range(int(4_100_000 * share)))
    return _write(folder, [_node("Relu", ["x"], ["y"], field(1, "t") + data + field(20, 8))])


def metadata(folder: Path, share: float) -> list[str]:
    """Metadata and documentation, which are passed over."""
    entry = field(14, field(1, "key") + field(2, "v" * 60_000))
    doc = field(6, "d" * int(100e6 * share))
    return _write(folder, _chain(1), entry * int(4_000 * share) + doc)


def nested(folder: Path, share: float) -> list[str]:
    """Branches within branches, each with nodes of its own."""
    each, graph = max(1, int(3_000 * share)), b""
    for depth in range(30):
        parts = [_node("Relu", [f"d{depth}n{k - 1}" if k else "x"], [f"d{depth}n{k}"]) for k in range(each)]
        if graph:
            parts.append(_node("If", ["flag"], [f"d{depth}n{each}"], *_both(graph)))
        last = f"d{depth}n{each if graph else each - 1}"
        graph = b"".join(parts) + field(2, f"g{depth}") + _value(12, last, 1, 8)
    return ["inspect", str(_branches(folder, graph))]


def _both(graph: bytes) -> list[bytes]:
    """A branch that is deep, and one that is not."""
    flat = _node("Relu", ["x"], ["z"]) + field(2, "flat") + _value(12, "z", 1, 8)
    return [_attribute("then_branch", 5, 6, graph), _attribute("else_branch", 5, 6, flat)]


def _branches(folder: Path, graph: bytes) -> Path:
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, []).SerializeToString()
    _write(folder, [field(11, flag), _node("If", ["flag"], ["y"], *_both(graph))])
    return folder / "model.onnx"


def external(folder: Path, share: float) -> list[str]:
    """Constants in a file beside the model."""
    (folder / "weights.bin").write_bytes(bytes(4 * 4096))
    entry = field(13, field(1, "location") + field(2, "weights.bin")) + field(14, 1)
    count = max(1, int(60_000 * share))
    return _write(folder, [*_chain(1), *(_tensor(f"w{k}", 4096, payload=entry) for k in range(count))])


def external_indices(folder: Path, share: float) -> list[str]:
    """Lists of indices in a file beside the model."""
    length = 1 << 22
    (folder / "weights.bin").write_bytes(bytes(8 * length))
    entry = field(13, field(1, "location") + field(2, "weights.bin")) + field(14, 1)
    parts = list(_chain(1))
    for place in range(max(1, int(40 * share))):
        data = field(1, length) + field(2, INT64) + field(8, f"i{place}") + entry
        parts.append(field(5, data))
    return _write(folder, parts)


def functions(folder: Path, share: float) -> list[str]:
    """Functions of the model's own."""
    body = b"".join(field(7, _node("Relu", ["a"], ["b"])[2:]) for _ in range(1))
    local = b"".join(
        field(25, field(1, f"f{k}") + field(4, "a") + field(5, "b") + body + field(10, "own"))
        for k in range(max(1, int(200_000 * share)))
    )
    return _write(folder, _chain(1), local)


MODELS: dict[str, Callable[[Path, float], list[str]]] = {
    f"onnx {build.__name__.replace('_', ' ')}": build
    for build in (
        nodes,
        products,
        initializers,
        small_constants,
        declared,
        long_names,
        lists,
        many_lists,
        short_lists,
        texts,
        metadata,
        nested,
        external,
        external_indices,
        functions,
    )
}
