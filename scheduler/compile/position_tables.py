"""How many positions a decoder knows: the rows of the tables that its positions are looked up in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from layerweaver.frontend.reader.model import OnnxGraph, OnnxModel, OnnxNode, TensorData
from layerweaver.frontend.resolve.order import subgraphs
from layerweaver.ir import DType
from layerweaver.scheduler.iterations.rows import IterationRows

__all__ = ["positions_known", "within_tables"]

_SAME = frozenset(
    ("Cast", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Unsqueeze")
)
_COUNTING = frozenset(("CumSum", "Range"))
_INDICES = (DType.INT32, DType.INT64)


def within_tables(rows: IterationRows, model: OnnxModel) -> IterationRows:
    """The rows with the longest context whose positions the decoder knows, if no other limit is stricter.

    Args:
        rows: The rows.
        model: The decoder.
    """
    known = positions_known(model)
    if known is None or (rows.longest and (rows.longest <= known or not rows.ends)):
        return rows
    return replace(rows, longest=known, ends=True)


def positions_known(model: OnnxModel) -> int | None:
    """Rows of the smallest table that is gathered from by positions; None where there is none.

    Positions are an input of that name, a Range or a CumSum, whatever is added to them or replaced in them: a
    table whose first two rows are for padding (OPT's) has two positions less than rows.

    Args:
        model: The decoder; tables of its branches count, those of its functions do not.
    """
    known = _Graphs.of(model.graph)
    lengths = []
    for node in known.makers.values():
        if node.op_type != "Gather" or len(node.inputs) < 2 or node.attributes.get("axis", 0) != 0:
            continue
        table = known.constants.get(node.inputs[0])
        if table is not None and len(table.shape) > 1:
            lengths += [table.shape[0] - shift for shift in known.shifts(node.inputs[1])]
    return min((length for length in lengths if length > 0), default=None)


@dataclass(frozen=True, slots=True)
class _Graphs:
    """What the values of a graph and of its branches come from.

    Attributes:
        makers: The node that makes a value.
        constants: Initializers and outputs of Constant.
        positions: Inputs that are positions.
    """

    positions: frozenset[str]
    makers: dict[str, OnnxNode] = field(default_factory=dict)
    constants: dict[str, TensorData] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: OnnxGraph) -> _Graphs:
        inputs = (value for value in graph.inputs if value.dtype in _INDICES)
        found = cls(frozenset(value.name for value in inputs if "position" in value.name.lower()))
        graphs = [graph]
        while graphs:
            one = graphs.pop()
            found.constants.update(one.initializers)
            for node in one.nodes:
                found.makers.update(dict.fromkeys(node.outputs, node))
                value = node.attributes.get("value")
                if node.op_type == "Constant" and isinstance(value, TensorData):
                    found.constants[node.outputs[0]] = value
                graphs += subgraphs(node)
        return found

    def shifts(self, indices: str) -> Iterator[int]:
        """What is added to the positions that indices are made of; nothing if they are made of none."""
        waiting, seen = [(indices, 0)], set[str]()
        while waiting:
            name, shift = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            node = self.makers.get(name)
            if name in self.positions or (node is not None and node.op_type in _COUNTING):
                yield shift
            elif node is not None:
                waiting += [(value, shift + more) for value, more in _terms(node, self.constants)]


def _terms(node: OnnxNode, constants: Mapping[str, TensorData]) -> Iterator[tuple[str, int]]:
    """Operands that positions may be in, each with what the node adds to it."""
    if node.op_type in _SAME:
        yield node.inputs[0], 0
        return
    fixed = [_number(constants.get(name)) for name in node.inputs]
    match node.op_type, fixed:
        case ("Add" | "Sub", [None, int(more)]):
            yield node.inputs[0], more if node.op_type == "Add" else -more
        case ("Add", [int(more), None]):
            yield node.inputs[1], more
        case ("Add" | "Sub" | "Mul", [None, None]):
            # With the cached tokens, or with a mask.
            yield from ((name, 0) for name in node.inputs)
        case ("Where", [_, int(), None]):
            yield node.inputs[2], 0
        case ("Where", [_, None, int()]):
            yield node.inputs[1], 0


def _number(constant: TensorData | None) -> int | None:
    """The value of a constant that is one number."""
    if constant is None or constant.values is None or constant.values.size != 1:
        return None
    return int(constant.values.reshape(-1)[0])
