"""Reading model-local functions and the operator sets that models and functions import."""

from __future__ import annotations

from layerweaver.frontend.reader.graph import GraphReader, normal_domain, overloaded
from layerweaver.frontend.reader.model import Attribute, OnnxFunction, OnnxNode, ValueInfo
from layerweaver.frontend.reader.wire import LENGTH, VARINT, Buffer, WireError, fields, int64_of, text

__all__ = ["read_function", "read_opset_import"]

_FUNCTION_NAME, _FUNCTION_DOMAIN, _FUNCTION_OVERLOAD = (number << 3 | LENGTH for number in (1, 10, 13))
_FUNCTION_INPUT, _FUNCTION_OUTPUT, _FUNCTION_ATTRIBUTE = (number << 3 | LENGTH for number in (4, 5, 6))
_FUNCTION_DEFAULT, _FUNCTION_NODE, _FUNCTION_VALUE = (number << 3 | LENGTH for number in (11, 7, 12))
_FUNCTION_OPSET = 9 << 3 | LENGTH

_OPSET_DOMAIN, _OPSET_VERSION = 1 << 3 | LENGTH, 2 << 3 | VARINT


def read_opset_import(buffer: Buffer, start: int, end: int) -> tuple[str, int]:
    """Domain ("" for ai.onnx) and version of an OperatorSetIdProto.

    Raises:
        WireError: If the bytes are malformed or the version is absurd.
    """
    domain = ""
    version = 0
    for tag, a, b in fields(buffer, start, end):
        if tag == _OPSET_DOMAIN:
            domain = normal_domain(text(buffer, a, b))
        elif tag == _OPSET_VERSION:
            version = int64_of(a)
    if not 0 <= version < 1 << 31:
        raise WireError(f"operator set '{domain or 'ai.onnx'}' has version {version}", start)
    return domain, version


def read_function(reader: GraphReader, buffer: Buffer, start: int, end: int) -> OnnxFunction:
    """Read a FunctionProto.

    Args:
        reader: Reads its nodes and keeps count for the whole file.
        buffer: The file.
        start: Offset of the message.
        end: Offset behind it.

    Raises:
        WireError: If the bytes are malformed or a bound is exceeded.
    """
    names = {_FUNCTION_NAME: "", _FUNCTION_DOMAIN: "", _FUNCTION_OVERLOAD: ""}
    lists: dict[int, list[str]] = {_FUNCTION_INPUT: [], _FUNCTION_OUTPUT: [], _FUNCTION_ATTRIBUTE: []}
    defaults: dict[str, Attribute] = {}
    nodes: list[OnnxNode] = []
    opset_imports: dict[str, int] = {}
    value_infos: dict[str, ValueInfo] = {}
    for tag, a, b in fields(buffer, start, end):
        if tag == _FUNCTION_NODE:
            nodes.append(reader.node(a, b, len(nodes)))
        elif tag in lists:
            reader.spend(1 + (b - a) // 32, a)
            lists[tag].append(text(buffer, a, b))
        elif tag in names:
            names[tag] = text(buffer, a, b)
        elif tag == _FUNCTION_DEFAULT:
            key, value = reader.attribute(a, b)
            defaults[key] = value
        elif tag == _FUNCTION_OPSET:
            domain, version = read_opset_import(buffer, a, b)
            opset_imports[domain] = version
        elif tag == _FUNCTION_VALUE:
            info = reader.value_info(a, b)
            value_infos[info.name] = info
    return OnnxFunction(
        domain=normal_domain(names[_FUNCTION_DOMAIN]),
        name=overloaded(names[_FUNCTION_NAME], names[_FUNCTION_OVERLOAD]),
        inputs=tuple(lists[_FUNCTION_INPUT]),
        outputs=tuple(lists[_FUNCTION_OUTPUT]),
        attribute_names=tuple(lists[_FUNCTION_ATTRIBUTE]),
        attribute_defaults=defaults,
        nodes=tuple(nodes),
        opset_imports=opset_imports,
        value_infos=value_infos,
    )
