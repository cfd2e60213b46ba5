"""What had to be assumed, why, and what the user can say instead."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from layerweaver.frontend.node.registry import load_operators
from layerweaver.frontend.node.resolved import ResolvedNode
from layerweaver.frontend.node.values import Cause, Info, UnknownShapeError
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.reader.model import OnnxNode
from layerweaver.frontend.resolve.order import node_label
from layerweaver.ir.dtypes import DType

__all__ = ["Doubt", "Doubts"]

_STATABLE = 16
"""Most elements of a value that a user may be asked to state."""

_FEW = 5
"""Most extents of a size that a user may be asked to state in place of what follows from it."""

_TRACED = 400
"""Most nodes between a value and the inputs that it is traced back to."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One assumption.

    Attributes:
        text: What was assumed, naming the node.
        cure: What the user can do, as a clause; "" when there is nothing.
        lacking: Whether work is missing from the totals because of it.
    """

    text: str
    cure: str = ""
    lacking: bool = False


class Doubts:
    """Collects assumptions while a graph is walked.

    Args:
        nodes: The flat nodes so far.
        infos: The flat values so far.
        pinned: Names of the values that the user has said something of.
    """

    def __init__(
        self, nodes: Sequence[ResolvedNode], infos: Mapping[str, Info], pinned: Collection[str]
    ) -> None:
        self.found: dict[Doubt, None] = {}
        self._nodes = nodes
        self._infos = infos
        self._pinned = pinned
        self._makers: dict[str, ResolvedNode] = {}
        self._indexed = 0

    def add(self, node: OnnxNode, what: str, cure: str = "", *, lacking: bool = False) -> None:
        """Note an assumption about ``node``, once."""
        self.found.setdefault(Doubt(f"{node_label(node)}: {what}", cure, lacking))

    def assumed(self, call: Call, outputs: Sequence[Info], *, main: bool) -> None:
        """Take over what a shape rule has assumed, unless the user has said what the outputs are.

        Args:
            call: The node.
            outputs: What its rule says of its outputs.
            main: Whether it is a node of the main graph.
        """
        named = [name for name in call.node.outputs if name]
        if named and all(name in self._pinned for name in named):
            return
        bounded = [
            (name, info)
            for name, info in zip(call.node.outputs, outputs, strict=False)
            if name and info.upper
        ]
        for what, of in call.notes:
            source = call.inputs[of] if of is not None and of < len(call.inputs) else None
            cure = self.statable(source) if source is not None else ""
            if source is not None and source.constant and source.cause is not None:
                cure = source.cause.cure
            if not cure and bounded:
                cure = f"give --shape {bounded[0][0]}=..."
            for name, info in bounded:
                info.cause = Cause(f"{node_label(call.node)}: {what}", cure, name if main else "")
            self.add(call.node, what, cure)

    def lost(self, call: Call, outputs: Sequence[Info], unknown: UnknownShapeError) -> None:
        """Give outputs of unknown shape the cause; a new one is noted."""
        missing = [
            (name, info)
            for name, info in zip(call.node.outputs, outputs, strict=False)
            if name and info.shape is None and name not in self._pinned
        ]
        if not missing:
            return
        cause = self._earlier(call, unknown.value)
        if cause is None:
            names = " and ".join(name for name, _ in missing)
            what = f"{unknown}, so the shape of {names} is unknown"
            cure = self.statable(unknown.value) if unknown.value is not None else ""
            cure = cure or "give " + " and ".join(f"--shape {name}=..." for name, _ in missing)
            cause = Cause(f"{node_label(call.node)}: {what}", cure)
            self.add(call.node, what, cure)
        for _, info in missing:
            info.cause = cause

    def _earlier(self, call: Call, value: Info | None) -> Cause | None:
        """The cause that ``call`` inherits from an input."""
        if value is not None:
            known = value.shape is not None and not value.constant  # only what is in it depends on data
            cause = None if known else value.cause
            if cause is not None and not cause.what.startswith("node "):
                return Cause(f"{node_label(call.node)}: {cause.what}", cause.cure)
            return cause
        unknown = [info for info in call.inputs if info is not None and info.shape is None]
        return next((info.cause for info in unknown if info.cause is not None), None)

    def undecided(self, info: Info | None, what: str, cure: str) -> tuple[str, str]:
        """Why the value of an operand is unknown and what to do: as stated, or a constant's own cause."""
        if info is None or not info.constant or info.cause is None:
            return what, cure
        return info.cause.what, info.cause.cure

    def statable(self, info: Info) -> str:
        """The option that states ``info``: through the graph inputs that it follows from, or itself."""
        roots = self._inputs_of(info.name)
        if 0 < len(roots) <= 2 and all(root is info or _parameter(root) for root in roots):
            return "give " + " and ".join(f"--value {root.name}={_numbers(root)}" for root in roots)
        return f"give --value {info.name}={_numbers(info)}" if _small(info) else ""

    def _inputs_of(self, name: str) -> list[Info]:
        """Graph inputs whose values ``name`` follows from.

        None when there are too many nodes between, or one that is not worked out beforehand.
        """
        for resolved in self._nodes[self._indexed :]:
            self._makers.update((output, resolved) for output in resolved.node.outputs)
        self._indexed = len(self._nodes)
        found: dict[str, Info] = {}
        seen = {name}
        waiting = [name]
        while waiting:
            current = waiting.pop()
            maker = self._makers.get(current)
            info = self._infos.get(current)
            if info is None:
                continue
            if info.constant:
                if info.value is None:
                    return []
                continue
            if maker is None:
                found[current] = info
                continue
            if not _worked_out(maker):
                return []
            fresh = [source for source in maker.node.inputs if source and source not in seen]
            seen.update(fresh)
            waiting.extend(fresh)
            if len(seen) > _TRACED:
                return []
        return list(found.values())

    def forget(self, nodes: int) -> None:
        """Only the first ``nodes`` nodes are left."""
        self._indexed = min(self._indexed, nodes)

    def lines(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Every warning, those of one cure joined, and those that say why work is missing."""
        groups: dict[tuple[str, bool], list[str]] = {}
        for place, doubt in enumerate(self.found):
            own = doubt.cure or str(place)
            groups.setdefault((own, doubt.lacking), []).append(doubt.text)
        warnings, lacking = [], []
        for (cure, lacks), texts in groups.items():
            more = f" (and {len(texts) - 1} more alike)" if len(texts) > 1 else ""
            line = texts[0] + more + ("" if cure.isdecimal() else f"; {cure}")
            warnings.append(line)
            if lacks:
                lacking.append(line)
        return tuple(warnings), tuple(lacking)


def _worked_out(resolved: ResolvedNode) -> bool:
    """Whether an import computes what the node puts out where it knows the inputs' values."""
    node = resolved.node
    entry = load_operators().find(node.op_type, node.domain, resolved.opset)
    return entry is not None and entry.foldable and not entry.random


def _small(info: Info) -> bool:
    return info.dtype is not DType.STRING and info.shape is not None and math.prod(info.shape) <= _STATABLE


def _parameter(info: Info) -> bool:
    """Whether a value that others follow from is a number or a few extents, and no data."""
    elements = math.prod(info.shape or ())
    return _small(info) and (elements == 1 or (elements <= _FEW and info.dtype in (DType.INT32, DType.INT64)))


def _numbers(info: Info) -> str:
    return ",".join("N" * max(1, math.prod(info.shape or ())))
