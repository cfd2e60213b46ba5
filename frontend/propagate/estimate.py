"""A rough count of multiply-accumulates, to tell which of two branches is the heavier."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from layerweaver.frontend.propagate.matrix import einsum_terms
from layerweaver.frontend.propagate.values import Info, ShapeConflictError
from layerweaver.frontend.resolved import ResolvedNode

__all__ = ["estimate_macs"]


def estimate_macs(nodes: Iterable[ResolvedNode], infos: Mapping[str, Info]) -> int:
    """Multiply-accumulates of ``nodes``, elementwise work not counted."""
    return sum(_node_macs(entry, infos) * entry.repeats for entry in nodes if not entry.folded)


def _node_macs(entry: ResolvedNode, infos: Mapping[str, Info]) -> int:
    node = entry.node
    shapes = [infos[name].shape if name in infos else None for name in node.inputs]
    result = infos[node.outputs[0]].shape if node.outputs and node.outputs[0] in infos else None
    operator = node.op_type
    first = shapes[0] if shapes else None
    second = shapes[1] if len(shapes) > 1 else None
    if operator == "QLinearConv":
        second = shapes[3] if len(shapes) > 3 else None
    if first is None or second is None:
        return 0
    if "ConvTranspose" in operator:
        return math.prod(first) * math.prod(second[1:])
    if "Conv" in operator and result is not None:
        return math.prod(result) * math.prod(second[1:])
    if (
        operator in ("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM")
        and len(shapes) > 2
        and shapes[2] is not None
    ):
        return math.prod(first[:2]) * (math.prod(second) + math.prod(shapes[2]))
    if operator == "Einsum":
        known = [shape for shape in shapes if shape is not None]
        try:
            _, _, extents = einsum_terms(str(node.attributes.get("equation", "")), known)
        except ShapeConflictError:
            return 0
        return math.prod(extents.values())
    if operator in ("Gemm", "FusedGemm", "QGemm") and result is not None:
        return math.prod(result) * (first[0] if node.attributes.get("transA") else first[-1])
    if "MatMul" in operator and result is not None and first:
        return math.prod(result) * first[-1]
    if "Attention" in operator and len(first) > 1:
        return math.prod(first) * first[-2]
    return 0
