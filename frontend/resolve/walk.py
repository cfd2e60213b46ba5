"""The walk over the nodes: one pass in execution order, every node by the rule of its operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from layerweaver.frontend.node.registry import Operator, Registry
from layerweaver.frontend.node.values import (
    Cause,
    Info,
    ShapeConflictError,
    UnknownShapeError,
    text,
)
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.reader.model import OnnxGraph, OnnxModel, OnnxNode
from layerweaver.frontend.resolve.expressions import parse_dim
from layerweaver.frontend.resolve.fallback import Fitted, Promised, guess, lower, refit, withdraw
from layerweaver.frontend.resolve.flat import FlatGraph
from layerweaver.frontend.resolve.masks import MASKING, bound_masks
from layerweaver.frontend.resolve.order import execution_order, node_label
from layerweaver.frontend.resolve.scope import (
    DEPTH_LIMIT,
    STEP_LIMIT,
    Scope,
    TooLongError,
    UnrollError,
    knowable,
    united_roots,
)
from layerweaver.ir.dtypes import DType
from layerweaver.ir.errors import ModelError
from layerweaver.ir.limits import MAX_SHAPE_ELEMENTS

__all__ = ["Inliner", "Walker"]

Inliner: TypeAlias = "Callable[[Walker, OnnxNode, Sequence[Info | None], Scope], Sequence[Info]]"
"""Walks what is inside of a node (its graphs, the body of the function it calls); returns its outputs."""


class Walker(FlatGraph):
    """Collects the flat graph while it walks.

    Attributes:
        model: The model walked.
        dims: Extents of dimension names, for declared shapes.
        pinned: Shapes given by the user for values inside the graph.
        trip_counts: Loop trips given by the user, by node name.
        registry: Operators.
        control: Who walks the nodes that have graphs inside, by domain and operator.
        call: Who walks the body of a function.
        fitted: Shapes of bounded values of the main graph that an earlier walk has found, and where.
        used_trip_counts: Names of ``trip_counts`` that met their node.
        kept: Values that a later trip of a loop needs, whoever else does.
        loops: Names of the loops met, for messages.
        trial: How many loop bodies are being tried around the current node.
    """

    def __init__(
        self,
        model: OnnxModel,
        dims: Mapping[str, int],
        pinned: Mapping[str, tuple[int, ...]],
        values: Mapping[str, tuple[float, ...]],
        trip_counts: Mapping[str, int],
        *,
        registry: Registry,
        control: Mapping[tuple[str, str], Inliner],
        call: Inliner,
        fitted: Fitted,
    ) -> None:
        super().__init__(model, pinned, values)
        self.model = model
        self.registry = registry
        self.control = control
        self.call = call
        self.fitted = fitted
        self.dims = dims
        self.pinned = pinned
        self.trip_counts = trip_counts
        self.used_trip_counts: set[str] = set()
        self.kept: set[str] = set()
        self.loops: dict[str, None] = {}
        self.trial = 0
        self.orders: dict[int, tuple[object, Sequence[OnnxNode]]] = {}
        self.steps = 0
        self.budget = STEP_LIMIT + len(model.graph.nodes)

    def graph(self, graph: OnnxGraph, scope: Scope) -> list[Info]:
        """Walk ``graph``, whose inputs are in ``scope`` already, and return its outputs."""
        if scope.depth > DEPTH_LIMIT:
            raise ModelError(f"graphs are nested deeper than {DEPTH_LIMIT}", where=self.source)
        for name, tensor in graph.initializers.items():
            info = scope.env[name] = self.constant(tensor, scope.prefix + name)
            if info.value is None and info.name in self.values:  # its file is not there
                self.state(info, info.name, ModelError("", where=f"{self.source}: initializer {name}"))
        self.run(self.order(graph, graph.nodes, scope), scope)
        outputs = []
        for value in graph.outputs:
            found = scope.find(value.name)
            if found is None:
                raise ModelError(
                    f"output {value.name} comes from no node, input or initializer", where=self.source
                )
            outputs.append(found)
        return outputs

    def order(self, owner: object, nodes: Sequence[OnnxNode], scope: Scope) -> Sequence[OnnxNode]:
        """Execution order of the nodes of ``owner``, worked out once per owner."""
        found = self.orders.get(id(owner))
        if found is None:
            found = self.orders[id(owner)] = (owner, execution_order(nodes, scope.find, self.source))
        return found[1]

    def run(self, nodes: Sequence[OnnxNode], scope: Scope) -> None:
        """Walk ``nodes``, which are in execution order."""
        env = scope.env
        scope.siblings = nodes
        functions = self.model.functions
        for node in nodes:
            inputs: list[Info | None] = []
            for name in node.inputs:
                if not name:
                    inputs.append(None)
                    continue
                found = env.get(name)
                if found is None and (found := scope.find(name)) is None:
                    raise self.fail(node, f"its input {name} comes from no node, input or initializer")
                inputs.append(found)
            operator = (node.domain, node.op_type)
            inline = self.call if operator in functions else self.control.get(operator)
            if inline is None:
                self.step(node, inputs, scope)
                continue
            self.spend(node, 2)
            for name, info in zip(node.outputs, inline(self, node, inputs, scope), strict=False):
                if name:
                    env[name] = info

    def spend(self, node: OnnxNode, steps: int) -> None:
        """Count work, so that nested functions, branches and loops stay bounded."""
        self.steps += steps
        if self.steps > self.budget:
            what = f"functions, branches and loops take more than {self.budget} steps"
            raise TooLongError(what, where=f"{self.source}: {node_label(node)}")

    def step(self, node: OnnxNode, inputs: Sequence[Info | None], scope: Scope) -> None:
        """Apply the rule of one ordinary node and enter its outputs."""
        self.spend(node, 1)
        opset = scope.opsets.get(node.domain, 1)
        entry = self.registry.find(node.op_type, node.domain, opset)
        call = Call(node, inputs, opset)
        call.promised = lambda name: self.declared(name, scope)
        try:
            outputs = self.outcome(call, entry, scope)
        except ShapeConflictError as conflict:
            if not self.trial:
                refit(call, entry, self.infos, self.fitted)
            withdrawn = withdraw(call, entry, self.promised(node, scope), conflict)
            if withdrawn is None:
                raise self.fail(node, str(conflict), conflict.accepted) from None
            outputs = withdrawn
            self.doubts.lost(call, outputs, UnknownShapeError(str(conflict)))
        if node.op_type == "Reshape" and outputs[0].upper is None and not self.trial:
            self.fit(inputs[0], math.prod(outputs[0].shape or ()), node_label(node))
        if call.notes:
            if self.trial and knowable(inputs):
                raise UnrollError
            for name, info in zip(node.outputs, outputs, strict=False):
                if name in self.fitted and not scope.prefix and name not in self.pinned:
                    info.shape, where = self.fitted[name]
                    call.notes = [
                        (f"{what}, then {text(info.shape)}, which fits {where}", of)
                        for what, of in call.notes
                    ]
            self.doubts.assumed(call, outputs, main=not scope.prefix)
        if node.op_type in MASKING:
            bound_masks(call, outputs, scope.siblings)
        self.enter(node, entry, inputs, outputs, scope=scope, opset=opset)

    def fit(self, info: Info | None, elements: int, where: str) -> None:
        """Lower the bound of a value that is known to have fewer elements."""
        if info is not None and info.upper and not info.guessed and info.shape is not None:
            most = math.prod(info.shape)
            lower(info, most, elements, where=where, infos=self.infos, fitted=self.fitted)

    def outcome(self, call: Call, entry: Operator | None, scope: Scope) -> Sequence[Info]:
        """What the rule says, or the declared shapes where there is no rule or too little is known."""
        try:
            if entry is None or entry.shape is None:
                raise UnknownShapeError(f"operator {call.node.domain or 'ai.onnx'}.{call.op} is not known")
            return entry.shape(call)
        except UnknownShapeError as unknown:
            if self.trial and knowable(call.inputs):
                raise UnrollError from None
            outputs = guess(call, entry, self.promised(call.node, scope), str(unknown))
            self.doubts.lost(call, outputs, unknown)
            return outputs
        except (ValueError, IndexError, OverflowError, ZeroDivisionError, TypeError, MemoryError) as error:
            raise ShapeConflictError(f"its inputs do not fit the operator ({error})") from None

    def enter(
        self,
        node: OnnxNode,
        entry: Operator | None,
        inputs: Sequence[Info | None],
        outputs: Sequence[Info],
        *,
        scope: Scope,
        opset: int,
    ) -> None:
        """Name and flag the outputs and append the node."""
        constant, batched, shaped, upper, varying, guessed = True, False, False, False, False, False
        cause: Cause | None = None
        for info in inputs:
            if info is not None:
                constant = constant and info.constant
                batched = batched or info.batched
                shaped = shaped or info.shaped
                upper = upper or bool(info.upper)
                varying = varying or info.varying
                guessed = guessed or info.guessed
                if cause is None:
                    cause = info.cause
                elif info.cause is not None and info.cause.root != cause.root:
                    cause = Cause(cause.what, cause.cure)
        roots_from = None
        if entry is not None:
            roots_from = entry.roots_from
            if entry.values_from is not None:
                shaped = shaped or not constant
                used = [inputs[index] for index in entry.values_from if index < len(inputs)]
                constant = all(info.constant for info in used if info is not None)
                batched = any(info.batched for info in used if info is not None)
                varying = any(info.varying for info in used if info is not None)
            if not entry.foldable or entry.random:
                constant = False
        roots: tuple[str, ...] = ()
        if constant:
            chosen = inputs if roots_from is None else [inputs[i] for i in roots_from if i < len(inputs)]
            roots = united_roots(chosen)
        own = constant and entry is not None and entry.generates and not shaped
        env, prefix, dims = scope.env, scope.prefix, self.pinned
        names = []
        for index, name in enumerate(node.outputs):
            if not name:
                names.append("")
                continue
            info = outputs[index] if index < len(outputs) else self.declared(name, scope)
            info.upper = info.upper is not None and (info.upper or upper)
            info.guessed = info.guessed or guessed
            if dims and name in dims:
                shared = any(found is not None and found.most is not None for found in inputs)
                hard = not (upper or shared or info.dtype is DType.STRING)
                self.check_pinned(node, name, info, hard=hard)
                info.shape, info.value, info.upper, info.guessed = dims[name], None, False, False
            shape = info.shape
            if shape is not None and math.prod(shape) > MAX_SHAPE_ELEMENTS:
                raise self.fail(node, f"its output {name} of {text(shape)} is too large")
            info.constant, info.batched, info.shaped, info.varying = constant, batched, shaped, varying
            if not constant or (info.value is not None and self.full(info.value.nbytes)):
                info.value = None
            if info.elements is not None:
                self.count_elements(node, len(info.elements))
            doubtful = shape is None or info.upper or info.guessed or (constant and info.value is None)
            info.cause = (info.cause or cause) if doubtful else None
            resolved = self.add(prefix + name if prefix else name, info).name
            if self.values and (name in self.values or resolved in self.values):
                stated = name if name in self.values else resolved
                self.state(info, stated, self.fail(node, ""))
            info.roots = (resolved,) if own else roots
            env[name] = info
            names.append(resolved)
        sources = tuple([info.name if info is not None else "" for info in inputs])
        self.emit(node, sources, tuple(names), scope=scope, opset=opset, folded=constant)

    def check_pinned(self, node: OnnxNode, name: str, info: Info, *, hard: bool) -> None:
        """Refuse a stated shape that is not the known one, or beyond a bound.

        Args:
            node: The node.
            name: The output of which the shape is stated.
            info: What is known of that output.
            hard: Whether a bound holds for certain; an even share and the number of words do not, and what
                follows from other bounds may not (what is left over grows as they shrink).
        """
        known, stated = info.shape, self.pinned[name]
        if known is None or info.guessed:
            return
        if len(known) != len(stated) or (not info.upper and known != stated):
            what = f"its output {name} is {text(known)}, --shape says {text(stated)}"
            raise self.fail(node, what, "give a shape that fits, or leave it out")
        if info.upper and hard and any(given > most for given, most in zip(stated, known, strict=True)):
            what = f"its output {name} is at most {text(known)}, --shape says {text(stated)}"
            raise self.fail(node, what, "give a shape within it, or leave it out")

    def promised(self, node: OnnxNode, scope: Scope) -> Promised:
        """What file and user say of the outputs of a node."""
        return Promised([self.declared(name, scope) for name in node.outputs], self.pinned)

    def declared(self, name: str, scope: Scope) -> Info:
        """What the file declares of ``name``, with an unknown shape where it does not say."""
        value = scope.declared.get(name)
        if value is None:
            return Info(DType.UNDEFINED, None)
        extents: list[int] = []
        for dim in value.shape or ():
            extent = parse_dim(dim).value(self.dims) if isinstance(dim, str) else dim
            if extent is None or extent < 0 or dim == 0:  # written for unknown ones too
                return Info(value.dtype, None)
            extents.append(extent)
        known = value.shape is not None and value.container == "tensor"
        return Info(value.dtype, tuple(extents) if known else None)
