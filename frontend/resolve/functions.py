"""Inlining of model-local functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from layerweaver.frontend.node.values import Info
from layerweaver.frontend.reader.model import Attribute, AttributeReference, OnnxGraph, OnnxNode
from layerweaver.frontend.resolve.scope import DEPTH_LIMIT, Scope
from layerweaver.frontend.resolve.walk import Walker
from layerweaver.ir.dtypes import DType

__all__ = ["call_function"]

_ABSENT = Info(DType.UNDEFINED, None)


def _bound(attributes: Mapping[str, Attribute], given: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """``attributes`` with references replaced; those to attributes that nobody gave are left out."""
    result: dict[str, Attribute] = {}
    for name, attribute in attributes.items():
        if isinstance(attribute, AttributeReference):
            if attribute.name in given:
                result[name] = given[attribute.name]
        elif isinstance(attribute, OnnxGraph):
            result[name] = _bound_graph(attribute, given)
        else:
            result[name] = attribute
    return result


def _bound_graph(graph: OnnxGraph, given: Mapping[str, Attribute]) -> OnnxGraph:
    return replace(graph, nodes=tuple(_bound_node(node, given) for node in graph.nodes))


def _bound_node(node: OnnxNode, given: Mapping[str, Attribute]) -> OnnxNode:
    if not any(isinstance(item, AttributeReference | OnnxGraph) for item in node.attributes.values()):
        return node
    return replace(node, attributes=_bound(node.attributes, given))


def call_function(
    walker: Walker, node: OnnxNode, inputs: Sequence[Info | None], scope: Scope
) -> Sequence[Info]:
    """Walk the body of the function that ``node`` calls and return its outputs.

    Raises:
        ModelError: Calls are nested too deeply (recursion), or an output comes from nowhere.
    """
    function = walker.model.functions[node.domain, node.op_type]
    if scope.depth >= DEPTH_LIMIT:
        raise walker.fail(node, f"functions call each other deeper than {DEPTH_LIMIT}")
    inner = Scope(
        None,
        f"{scope.prefix}{node.label or node.op_type}/",
        {**scope.opsets, **function.opset_imports},
        function.value_infos,
        repeats=scope.repeats,
        depth=scope.depth + 1,
    )
    for name, info in zip(function.inputs, inputs, strict=False):
        if info is not None:
            inner.env[name] = info
    absent = {name for name in function.inputs if name not in inner.env}
    given = {**function.attribute_defaults, **node.attributes}
    for name in absent:
        inner.env[name] = _ABSENT
    order = walker.order(function, function.nodes, inner)
    for name in absent:
        del inner.env[name]
    walker.run([_without(_bound_node(item, given), absent) for item in order], inner)
    outputs = []
    for name in function.outputs[: len(node.outputs)]:
        found = inner.find(name)
        if found is None:
            raise walker.fail(node, f"output {name} of the function comes from nowhere")
        outputs.append(found)
    return outputs


def _without(node: OnnxNode, absent: set[str]) -> OnnxNode:
    if not absent or not absent.intersection(node.inputs):
        return node
    return replace(node, inputs=tuple("" if name in absent else name for name in node.inputs))
