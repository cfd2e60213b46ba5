"""From the bound graph of nodes to the graph of schedulable layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from layerweaver.frontend.draft import Draft, DraftGraph
from layerweaver.frontend.fusion import fuse_drafts
from layerweaver.frontend.operation import (
    Free,
    GatherRead,
    Operation,
    Step,
    UnknownShapeError,
    View,
    WeightRead,
    elements_of,
    repeated,
)
from layerweaver.frontend.parameters import Parameters
from layerweaver.frontend.registry import Registry, Treatment, domain_name, load_operators
from layerweaver.frontend.resolved import ResolvedGraph, ResolvedNode
from layerweaver.frontend.state import state_pairs
from layerweaver.ir import (
    DType,
    GatherWork,
    Layer,
    LayerGraph,
    LayerKind,
    ModelError,
    TensorSpec,
    VectorCategory,
)

__all__ = ["MAX_ELEMENTS", "MAX_MACS", "lower"]

MAX_ELEMENTS = 2**43
"""Largest tensor that is accepted: sums over any graph stay within 64 bits."""

MAX_MACS = 2**60
"""Most multiply-accumulates of one layer."""

_PRODUCTS = frozenset({Treatment.MATRIX, Treatment.RECURRENT})
_PART_OF = frozenset({"Gather", "Slice", "Split", "GatherND", "GatherElements"})
_SAME_ELEMENTS = frozenset({"Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity", "Cast", "Transpose"})


def lower(
    resolved: ResolvedGraph,
    *,
    strict: bool = False,
    fuse: bool = True,
    state: Sequence[tuple[str, str]] | None = None,
    registry: Registry | None = None,
) -> LayerGraph:
    """Turn a bound graph into layers.

    Args:
        resolved: The flat graph with every shape bound.
        strict: Refuse operators that nobody knows and work that depends on unknown shapes; otherwise both
            are costed by their tensors' sizes with a warning.
        fuse: Merge what a compiler would; without it every node that is not a view is a layer.
        state: Pairs of graph inputs and outputs that carry state, besides those that are recognised.
        registry: Operators; all registered ones by default.

    Raises:
        ModelError: If a node's operands do not fit its operator, a size is beyond all bounds, a name in
            ``state`` does not exist, or ``strict`` finds something unknown.
    """
    building = _Building(resolved, strict, tuple(state or ()), registry or load_operators())
    for node in resolved.nodes:
        building.lower_node(node)
    graph = building.finish()
    if fuse:
        fuse_drafts(graph)
    layers = [building.layer(graph, draft) for draft in graph.drafts()]
    return LayerGraph(
        resolved.source,
        layers,
        inputs=building.graph_inputs(),
        outputs=building.graph_outputs(),
        batch=max(1, resolved.batch),
        warnings=(*resolved.warnings, *building.warnings),
    )


class _Building:
    """State of one lowering."""

    def __init__(
        self,
        resolved: ResolvedGraph,
        strict: bool,
        state: tuple[tuple[str, str], ...],
        registry: Registry,
    ) -> None:
        self.resolved = resolved
        self.values = resolved.values
        self.strict = strict
        self.registry = registry
        self.warnings: list[str] = []
        self.parameters = Parameters(resolved.values)
        self.pairs = state_pairs(resolved, state)
        self.fed_back = {output: name for name, output in self.pairs.items()}
        self.storage: dict[str, str] = {name: name for name in resolved.inputs}
        self.sizes: dict[str, TensorSpec] = {}
        self.along: dict[str, str] = {}
        self.drafts: list[Draft] = []
        self.names: dict[str, int] = {}
        self.seen_warnings: set[tuple[str, str]] = set()
        self.parts: dict[str, str] = {}
        for name in resolved.inputs:
            self._size(name)

    # Sizes and storages.

    def _size(self, name: str, elements: int | None = None) -> None:
        value = self.values.get(name)
        count = elements if elements is not None else (elements_of(value) if value is not None else 0)
        dtype = value.dtype if value is not None else DType.FLOAT32
        batched = value.batched if value is not None else True
        self.sizes[name] = TensorSpec(name, count, dtype, batched)
        self._check(self.sizes[name])

    def _activations(self, names: Sequence[str]) -> dict[str, None]:
        found: dict[str, None] = {}
        for name in names:
            storage = self.storage.get(name)
            if storage is not None:
                found[storage] = None
                if storage in self.along:
                    found[self.along[storage]] = None
        return found

    def _name(self, wanted: str) -> str:
        count = self.names.get(wanted, 0)
        self.names[wanted] = count + 1
        if not count:
            return wanted
        return self._name(f"{wanted}#{count + 1}")

    # Nodes.

    def lower_node(self, resolved: ResolvedNode) -> None:
        """Add what one node costs."""
        node = resolved.node
        outputs = [name for name in node.outputs if name]
        known = bool(outputs) and all(name in self.values and self.values[name].constant for name in outputs)
        if (resolved.folded or known) and not self._product(resolved):
            self._note_parts(node.op_type, node.inputs, outputs)
            return
        if resolved.repeats == 0:
            return
        name = node.name or (outputs[0] if outputs else node.op_type)
        operation = Operation(resolved, self.values, self.resolved.source, name)
        answer = self._work(operation)
        if isinstance(answer, Free):
            return
        if isinstance(answer, View):
            self._view(operation, answer)
            return
        steps = answer if isinstance(answer, tuple) else (answer,)
        for step in steps:
            self._draft(operation, repeated(step, resolved.repeats))

    def _product(self, resolved: ResolvedNode) -> bool:
        """Whether a node multiplies matrices: such work is counted even when a compiler could do it once."""
        node = resolved.node
        lowering = self.registry.find(node.op_type, domain_name(node.domain), resolved.opset)
        return lowering is not None and lowering.treatment in _PRODUCTS

    def _note_parts(self, operator: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Remember constants that are a part of a larger one: only the part is fetched."""
        source = inputs[0] if inputs else ""
        value = self.values.get(source)
        if value is None or not value.constant:
            return
        if operator in _PART_OF:
            whole = elements_of(value)
            for name in outputs:
                if name in self.values and elements_of(self.values[name]) < whole:
                    self.parts[name] = source
        elif operator in _SAME_ELEMENTS and source in self.parts:
            for name in outputs:
                self.parts[name] = self.parts[source]

    def _work(self, operation: Operation) -> Step | tuple[Step, ...] | View | Free:
        domain = domain_name(operation.node.domain)
        lowering = self.registry.find(operation.operator, domain, operation.opset)
        if lowering is None:
            shown = domain or "ai.onnx"
            if self.strict:
                raise operation.error(
                    f"version {operation.opset} of domain {shown!r} has no operator of this name",
                    accepted="register it by the entry point 'layerweaver.operators', or leave out --strict",
                )
            self._warn(
                operation,
                "unknown",
                f"operator {operation.operator!r} of domain {shown!r} is unknown; "
                "costed as vector work by the size of its tensors",
            )
            return self._by_size(operation)
        try:
            return lowering.function(operation)
        except UnknownShapeError as error:
            if self.strict:
                raise
            self._warn(
                operation, "shape", f"{error.what}; costed as vector work by the size of its known tensors"
            )
            return self._by_size(operation)

    def _warn(self, operation: Operation, kind: str, text: str) -> None:
        key = (kind, operation.name)
        if key not in self.seen_warnings:
            self.seen_warnings.add(key)
            self.warnings.append(f"node {operation.name!r} ({operation.operator}): {text}")

    def _by_size(self, operation: Operation) -> Step:
        node = operation.node
        written = sum(operation.output_elements(index) for index in range(len(node.outputs)))
        read = sum(
            operation.elements(index) for index in range(len(node.inputs)) if not operation.constant(index)
        )
        work = operation.vector(VectorCategory.ELEMENTWISE, max(written, read))
        return Step(
            LayerKind.VECTOR,
            vector=(work,),
            weights=operation.weights(*range(len(node.inputs)), role="vector"),
        )

    def _view(self, operation: Operation, view: View) -> None:
        node = operation.node
        source = node.inputs[view.operand] if view.operand < len(node.inputs) else ""
        storage = self.storage.get(source)
        if storage is None:
            return
        for name in node.outputs:
            if name:
                self.storage[name] = storage

    def _draft(self, operation: Operation, step: Step) -> None:
        node = operation.node
        position = len(self.drafts)
        reads = self._activations(node.inputs if step.reads is None else step.reads)
        writes = [name for name in (node.outputs if step.writes is None else step.writes) if name]
        appended = dict(step.appended or {})
        if node.op_type == "Concat":
            rows = self._appended_by_concat(operation, reads)
            appended.update(rows)
            for count in rows.values():
                step = replace(step, vector=tuple(replace(work, elements=count) for work in step.vector))
        for name in writes:
            grown = appended.get(name) if name in self.fed_back else None
            internal = (step.internal or {}).get(name)
            self._size(name, internal if internal is not None else grown)
            if internal is not None:
                self.sizes[name] = replace(self.sizes[name], batched=operation.batched)
            self.storage[name] = name
            if grown is not None and node.op_type == "Concat":
                self.along[name] = self.fed_back[name]
        if step.matrix is not None and step.matrix.macs > MAX_MACS:
            raise operation.error(
                f"{step.matrix.macs} multiply-accumulates", accepted=f"at most {MAX_MACS} in one layer"
            )
        weights, tables = self._weights(step.weights)
        draft = Draft(
            name=self._name(f"{operation.name}/{step.suffix}" if step.suffix else operation.name),
            kind=step.kind,
            operator=node.op_type,
            position=position,
            origins=[(position, node.op_type, operation.name)],
            operands=tuple(self.storage.get(name, name) for name in node.inputs),
            reads=reads,
            writes=dict.fromkeys(writes),
            matrix=step.matrix,
            vector=[work for work in step.vector if work.elements > 0],
            weights=weights,
            gathers=[*(self._gather(gather) for gather in step.gathers), *tables],
            role=step.role,
        )
        self.drafts.append(draft)

    def _weights(self, reads: Sequence[WeightRead]) -> tuple[dict[str, TensorSpec], list[GatherWork]]:
        """The parameters behind constant operands; parts of elementwise ones are rows of a table."""
        found: dict[str, TensorSpec] = {}
        rows: list[GatherWork] = []
        for read in reads:
            tensors = self.parameters.tensors(read)
            whole = self.parts.get(read.value)
            if whole is not None and len(tensors) == 1 and read.elements is None:
                count = elements_of(self.values[read.value])
                if read.role == "vector":
                    rows.append(self._gather(GatherRead(whole, count, batched=False)))
                    continue
                tensors = (replace(tensors[0], name=f"{tensors[0].name}[{read.value}]", elements=count),)
            for tensor in tensors:
                self._check(tensor)
                found.setdefault(tensor.name, tensor)
        return found, rows

    def _gather(self, read: GatherRead) -> GatherWork:
        table = self.parameters.table(read.table, read.elements, read.dtype)
        rows = TensorSpec(f"{table.name}:rows", read.rows, table.dtype, read.batched)
        self._check(table)
        self._check(rows)
        return GatherWork(table, rows)

    def _check(self, tensor: TensorSpec) -> None:
        if tensor.elements > MAX_ELEMENTS:
            raise ModelError(
                f"tensor {tensor.name!r} has {tensor.elements} elements",
                where=self.resolved.source,
                accepted=f"tensors of at most {MAX_ELEMENTS} elements",
            )

    def _appended_by_concat(self, operation: Operation, reads: dict[str, None]) -> dict[str, int]:
        """A Concat of a cache and new rows only appends the rows: it does not read the cache."""
        output = operation.node.outputs[0]
        past = self.fed_back.get(output)
        if past is None or past not in reads or len(reads) < 2:
            return {}
        del reads[past]
        return {output: max(0, elements_of(self.values[output]) - elements_of(self.values[past]))}

    # The result.

    def finish(self) -> DraftGraph:
        """The drafts with their storages."""
        pinned = {self.storage[name] for name in self.resolved.outputs if name in self.storage}
        graph = DraftGraph(self.sizes, frozenset(self.pairs), frozenset(pinned))
        for draft in self.drafts:
            graph.add(draft)
        written = {self.storage.get(output): output for output in self.fed_back}
        self.state_storages = {storage for storage in written if storage is not None}
        return graph

    def layer(self, graph: DraftGraph, draft: Draft) -> Layer:
        """The finished layer with the state that it writes."""
        layer = graph.layer(draft)
        used = tuple(
            tensor
            for tensor in layer.outputs
            if tensor.name in graph.pinned or any(True for _ in graph.readers(tensor.name))
        )
        if used and len(used) < len(layer.outputs):
            layer = replace(layer, outputs=used)
        writes = tuple(tensor for tensor in layer.outputs if tensor.name in self.state_storages)
        if not writes:
            return layer
        kept = tuple(
            tensor
            for tensor in layer.outputs
            if tensor.name not in self.state_storages or any(True for _ in graph.readers(tensor.name))
        )
        return replace(layer, outputs=kept, state_writes=writes)

    def graph_inputs(self) -> tuple[TensorSpec, ...]:
        """Activations that enter the graph."""
        return tuple(self.sizes[name] for name in self.resolved.inputs if name not in self.pairs)

    def graph_outputs(self) -> tuple[TensorSpec, ...]:
        """Activations that leave the graph, each storage once."""
        found: dict[str, TensorSpec] = {}
        for name in self.resolved.outputs:
            storage = self.storage.get(name)
            if name in self.fed_back or storage is None or storage in self.pairs:
                continue
            found.setdefault(storage, self.sizes[storage])
        return tuple(found.values())
