"""The flat graph in the making: nodes, values and assumptions, which trials can take back."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from layerweaver.frontend.node.resolved import ResolvedNode
from layerweaver.frontend.node.values import VALUE_BYTES, Cause, Info, storable, text
from layerweaver.frontend.reader.model import OnnxModel, OnnxNode, TensorData
from layerweaver.frontend.resolve.doubts import Doubts
from layerweaver.frontend.resolve.order import node_label
from layerweaver.frontend.resolve.scope import NODE_LIMIT, Mark, Recorded, Scope, TooLongError
from layerweaver.ir.errors import ModelError

__all__ = ["FlatGraph"]

_MOST_ELEMENTS = 1 << 24
"""Elements of all sequences of a model together."""

_SMALL_BYTES = 1 << 15
"""Values of at most so many bytes are always kept."""


class FlatGraph:
    """What a walk has found so far.

    Attributes:
        source: Model, for messages.
        values: Values given by the user.
        nodes: The flat nodes, in execution order.
        infos: The flat values, by resolved name.
        doubts: What had to be assumed.
        used_values: Names of ``values`` that met their value.
        copies: For names entered again, the first number behind them that may be free.
    """

    def __init__(
        self,
        model: OnnxModel,
        pinned: Mapping[str, tuple[int, ...]],
        values: Mapping[str, tuple[float, ...]],
    ) -> None:
        self.source = model.source
        self.values = values
        self.nodes: list[ResolvedNode] = []
        self.infos: dict[str, Info] = {}
        self.doubts = Doubts(self.nodes, self.infos, {*pinned, *values})
        self.used_values: set[str] = set()
        self.copies: dict[str, int] = {}
        self.value_bytes = self.sequence_elements = 0
        self.room = NODE_LIMIT + len(model.graph.nodes)

    def fail(self, node: OnnxNode, what: str, accepted: str = "") -> ModelError:
        """The error for ``node``."""
        return ModelError(what, where=f"{self.source}: {node_label(node)}", accepted=accepted)

    def add(self, name: str, info: Info) -> Info:
        """Enter ``info`` under the resolved ``name``, made unique where it is taken."""
        if name in self.infos:
            stem, count = name, self.copies.get(name, 2)
            while (name := f"{stem}#{count}") in self.infos:
                count += 1
            self.copies[stem] = count + 1
        info.name = name
        self.infos[name] = info
        return info

    def constant(self, tensor: TensorData, name: str) -> Info:
        """Enter a constant, which is its own root."""
        value = (
            None if tensor.values is None else storable(np.asarray(tensor.values), tensor.dtype, tensor.shape)
        )
        info = self.add(name, Info(tensor.dtype, tensor.shape, value))
        info.constant = True
        if tensor.missing:
            what = f"the values of {name} are in {tensor.missing}, which is not there"
            info.cause = Cause(what, f"put {tensor.missing} beside the model")
        info.roots = (info.name,)
        return info

    def state(self, info: Info, name: str, place: ModelError) -> None:
        """Give ``info`` the value that the user has stated under ``name``.

        Raises:
            ModelError: The number of elements is another.
        """
        numbers = self.values[name]
        self.used_values.add(name)
        shape = info.shape if info.shape is not None else () if len(numbers) == 1 else (len(numbers),)
        value = storable(np.array(numbers), info.dtype, shape)
        if value is None:
            raise ModelError(
                f"{name} is {info.dtype} of {text(shape)}; {len(numbers)} numbers are given by --value",
                where=place.where,
                accepted=f"give {math.prod(shape)} numbers, separated by commas",
            )
        if value.dtype.kind in "iub" and not np.array_equal(value.ravel().astype(float), np.array(numbers)):
            given = ", ".join(f"{number:g}" for number in numbers)
            accepted = "give 0 or 1" if value.dtype.kind == "b" else "give whole numbers of that type"
            raise ModelError(
                f"{name} is {info.dtype}; --value says {given}", where=place.where, accepted=accepted
            )
        info.shape, info.value, info.upper, info.cause = shape, value, False, None
        info.constant = info.shaped = True
        info.batched = False

    def mark(self) -> Mark:
        """The state now, for :meth:`rollback`."""
        return len(self.nodes), len(self.infos), len(self.doubts.found)

    def rollback(self, mark: Mark) -> Recorded:
        """Undo what was entered since ``mark`` and return it, for :meth:`replay`."""
        nodes = self.nodes[mark[0] :]
        del self.nodes[mark[0] :]
        self.doubts.forget(mark[0])
        infos = [self.infos.popitem() for _ in range(len(self.infos) - mark[1])]
        for name, _ in infos:
            stem, _, count = name.rpartition("#")
            if stem in self.copies and count.isascii() and count.isdigit():
                self.copies[stem] = min(self.copies[stem], int(count[:12]))
        warnings = [self.doubts.found.popitem()[0] for _ in range(len(self.doubts.found) - mark[2])]
        return nodes, infos[::-1], warnings[::-1]

    def replay(self, recorded: Recorded) -> None:
        """Enter again what was undone."""
        nodes, infos, warnings = recorded
        self.nodes.extend(nodes)
        self.infos.update(infos)
        self.doubts.found.update(dict.fromkeys(warnings))

    def full(self, value_bytes: int) -> bool:
        """Whether a value of so many bytes, small ones aside, goes beyond what is kept of one model."""
        self.value_bytes += value_bytes if value_bytes > _SMALL_BYTES else 0
        return self.value_bytes > VALUE_BYTES and value_bytes > _SMALL_BYTES

    def count_elements(self, node: OnnxNode, elements: int) -> None:
        """Count the elements of the sequences of one model, which are listed one by one."""
        self.sequence_elements += elements
        if self.sequence_elements > _MOST_ELEMENTS:
            accepted = f"at most {_MOST_ELEMENTS:,} in one model"
            raise self.fail(node, "all sequences together have too many elements", accepted)

    def emit(
        self,
        node: OnnxNode,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        *,
        scope: Scope,
        opset: int,
        folded: bool,
    ) -> None:
        """Append a node of the flat graph."""
        if len(self.nodes) >= self.room:
            what = f"the graph has more than {self.room} nodes once loops are unrolled"
            raise TooLongError(what, where=f"{self.source}: {node_label(node)}")
        if scope.prefix or inputs != node.inputs or outputs != node.outputs:
            node = OnnxNode(
                node.op_type,
                node.domain,
                scope.prefix + node.label if scope.prefix else node.name,
                inputs,
                outputs,
                node.attributes,
                scope.prefix,
            )
        self.nodes.append(ResolvedNode(node, opset, scope.repeats, folded))
