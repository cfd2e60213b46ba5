"""From the bound graph of nodes to the graph of schedulable layers."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from layerweaver.frontend.lowering.caches import grown_caches
from layerweaver.frontend.lowering.draft import Draft, DraftGraph
from layerweaver.frontend.lowering.growth import grows, summed
from layerweaver.frontend.lowering.missing import Missing
from layerweaver.frontend.lowering.parameters import Parameters, check_size
from layerweaver.frontend.lowering.state import state_pairs
from layerweaver.frontend.node.registry import load_operators
from layerweaver.frontend.node.resolved import ResolvedGraph, ResolvedNode
from layerweaver.frontend.node.treatment import call_of, is_product, work_of
from layerweaver.frontend.node.values import elements_of
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import WINDOW, Free, Step, View, repeated
from layerweaver.frontend.options import ImportOptions
from layerweaver.ir import DType, LayerKind, ModelError, TensorSpec, VectorCategory, VectorWork
from layerweaver.ir.limits import MAX_MACS

__all__ = ["build"]
_IN_PLACE = {"TensorScatter": 1, "ScatterND": 2, "ScatterElements": 2, "Scatter": 2}
_APPENDS = frozenset({"Concat", *_IN_PLACE})


def build(resolved: ResolvedGraph, options: ImportOptions) -> DraftGraph:
    """Turn a bound graph into layers in the making, one per node that is not a view.

    Raises:
        ModelError: If a node's operands do not fit its operator, a size is beyond all bounds, a name in
            ``options.state`` does not exist, or ``options.strict`` finds something unknown; otherwise what
            is unknown is costed by its tensors' sizes with a warning.
    """
    return _Building(resolved, options).build()


class _Building:
    """State of one lowering."""

    def __init__(self, resolved: ResolvedGraph, options: ImportOptions) -> None:
        self.resolved = resolved
        self.values = resolved.values
        self.strict, self.windows = options.strict, options.windows
        self.registry = load_operators()
        self.missing = Missing(resolved.source)
        self.parameters = Parameters(resolved.source, resolved.values)
        self.pairs = state_pairs(resolved, options.state)
        self.same = {
            node.outputs[0]: node.inputs[0]
            for node in (entered.node for entered in resolved.nodes)
            if node.op_type == "Identity"
        }
        self.fed_back = {self._made(output): name for name, output in self.pairs.items()}
        self.storage: dict[str, str] = {name: name for name in resolved.inputs}
        self.sizes: dict[str, TensorSpec] = {}
        self.along: dict[str, str] = {}
        self.drafts: list[Draft] = []
        self.names: dict[str, int] = {}
        for name in resolved.inputs:
            self._size(name)

    def _made(self, name: str) -> str:
        """What a value is called where it is made: a cache may leave the graph under another name."""
        while name in self.same:
            name = self.same[name]
        return name

    # Sizes and storages.

    def _size(self, name: str, elements: int | None = None) -> None:
        value = self.values.get(name)
        count = elements if elements is not None else (elements_of(value) if value is not None else 0)
        dtype = value.dtype if value is not None else DType.FLOAT32
        batched = value.batched if value is not None else True
        self.sizes[name] = TensorSpec(name, count, dtype, batched)
        check_size(self.sizes[name], self.resolved.source)

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
        name = wanted
        while name in self.names:
            self.names[wanted] += 1
            name = f"{wanted}#{self.names[wanted]}"
        self.names[name] = 1
        return name

    # Nodes.

    def lower_node(self, resolved: ResolvedNode) -> None:
        """Add what one node costs."""
        node = resolved.node
        outputs = [name for name in node.outputs if name]
        known = bool(outputs) and all(name in self.values and self.values[name].constant for name in outputs)
        if (resolved.folded or known) and not is_product(resolved, self.registry):
            self.parameters.note_part(node.op_type, node.inputs, outputs)
            return
        if resolved.repeats == 0:
            return
        name = node.label or node.op_type
        call = call_of(resolved, self.values)
        if not self.windows:
            call.attributes = {key: value for key, value in call.attributes.items() if key != WINDOW}
        label = f"node {name!r} ({node.op_type})"
        where = f"{self.resolved.source}: {label}"
        answer, guessed = work_of(call, self.registry, where)
        lost = next((info for info in (*call.outputs, *call.inputs) if info and info.shape is None), None)
        cause = None if lost is None else lost.cause
        if guessed or cause is not None:
            self.missing.note(label, guessed, cause, product=is_product(resolved, self.registry))
        if isinstance(answer, Free):
            return
        if isinstance(answer, View):
            if not self._begins_cache(call):
                self._view(call, answer)
                return
            moved = VectorWork(node.op_type, VectorCategory.MOVE, call.output_elements())
            answer = Step(LayerKind.MOVE, vector=(moved,))
        steps = answer if isinstance(answer, tuple) else (answer,)
        times = resolved.repeats * resolved.trips
        if grows(resolved, self.values):
            steps, times = summed(resolved, self.values, self.registry, where), resolved.repeats
        for step in steps:
            self._draft(call, name, repeated(step, times))

    def _view(self, call: Call, view: View) -> None:
        node = call.node
        source = node.inputs[view.operand] if view.operand < len(node.inputs) else ""
        storage = self.storage.get(source)
        if storage is None:
            return
        for name in node.outputs:
            if name:
                self.storage[name] = storage

    def _draft(self, call: Call, name: str, step: Step) -> None:
        node = call.node
        position = len(self.drafts)
        reads = self._activations(node.inputs if step.reads is None else step.reads)
        writes = [name for name in (node.outputs if step.writes is None else step.writes) if name]
        appended = dict(step.appended or {})
        rows: dict[str, int] = {}
        if node.op_type in _APPENDS and node.outputs:
            rows = self._appended(call, reads)
            appended.update(rows)
            for count in rows.values():
                step = replace(step, vector=tuple(replace(work, elements=count) for work in step.vector))
        for written in writes:
            grown = appended.get(written, self._new_rows(written)) if written in self.fed_back else None
            internal = (step.internal or {}).get(written)
            self._size(written, internal if internal is not None else grown)
            if internal is not None:
                self.sizes[written] = replace(self.sizes[written], batched=call.batched)
            self.storage[written] = written
            if written in rows:
                self.along[written] = self.fed_back[written]
        if step.matrix is not None and step.matrix.macs > MAX_MACS:
            raise ModelError(
                f"{step.matrix.macs} multiply-accumulates",
                where=f"{self.resolved.source}: node {name!r} ({node.op_type})",
                accepted=f"at most {MAX_MACS} in one layer",
            )
        weights, tables = self.parameters.fetched(step.weights)
        draft = Draft(
            name=self._name(f"{name}/{step.suffix}" if step.suffix else name),
            kind=step.kind,
            operator=node.op_type,
            position=position,
            origins=[(position, node.op_type, name)],
            operands=tuple(self.storage.get(name, name) for name in node.inputs),
            reads=reads,
            writes=dict.fromkeys(writes),
            matrix=step.matrix,
            vector=deque(work for work in step.vector if work.elements > 0),
            weights=weights,
            gathers=[*(self.parameters.gather(gather) for gather in step.gathers), *tables],
            role=step.role,
            partial=self._parts_of_state(call, step, reads),
            window=step.window,
        )
        self.drafts.append(draft)

    def _parts_of_state(self, call: Call, step: Step, reads: dict[str, None]) -> dict[str, int]:
        """Elements read of states of which only a part is read."""
        if not self.pairs:
            return {}
        node = call.node
        partial = dict(step.partial or {})
        if call.op in ("Gather", "Slice") and node.inputs:
            partial[node.inputs[0]] = call.output_elements()
        found = {self.storage.get(name, ""): count for name, count in partial.items()}
        return {name: count for name, count in found.items() if name in self.pairs and name in reads}

    @functools.cached_property
    def _read(self) -> set[str]:
        """Every value that a node works on."""
        nodes = (entered.node for entered in self.resolved.nodes)
        return {self._made(name) for node in nodes if node.op_type != "Identity" for name in node.inputs}

    def _new_rows(self, output: str) -> int | None:
        """Elements that are new in a state that grows and that nothing reads here: a stack of caches."""
        if output in self._read:
            return None
        added = elements_of(self.values[output]) - elements_of(self.values[self.fed_back[output]])
        return added if added > 0 else None

    def _begins_cache(self, call: Call) -> bool:
        """Whether new rows go to a cache that is empty: they are written to it all the same."""
        past = self.fed_back.get(call.node.outputs[0]) if call.node.outputs else None
        return call.node.op_type == "Concat" and past is not None and past in call.node.inputs

    def _appended(self, call: Call, reads: dict[str, None]) -> dict[str, int]:
        """A cache that Concat or a scatter extends is not read by it: only the new rows are written."""
        node = call.node
        output = node.outputs[0]
        past = self.fed_back.get(output)
        if past is None or past not in reads:
            return {}
        if node.op_type == "Concat" and len(reads) > 1:
            del reads[past]
            return {output: max(0, elements_of(self.values[output]) - elements_of(self.values[past]))}
        update = _IN_PLACE.get(node.op_type)
        if update is not None and self.storage.get(node.inputs[0]) == past:
            del reads[past]
            return {output: call.elements(update)}
        return {}

    # The result.

    def build(self) -> DraftGraph:
        """Lower every node; the drafts with their storages."""
        for node in self.resolved.nodes:
            self.lower_node(node)
        resolved = self.resolved
        lacking = (*resolved.lacking, *self.missing.lines())
        if self.strict and lacking:
            raise ModelError(lacking[0], where=resolved.source, accepted="or leave out --strict")
        known = self.missing.causes()
        unpaired = [name for name, _ in grown_caches(resolved) if name not in self.pairs]
        asked = [
            f"input {name} grows and only attention reads it, like a cache; "
            f"give --state {name}=OUTPUT where an output feeds it"
            for name in unpaired
        ]
        rest = (line for line in resolved.warnings if line not in lacking and not line.startswith(known))
        graph = DraftGraph(
            resolved.source,
            self.sizes,
            states=frozenset(self.pairs),
            written=frozenset(self.storage[output] for output in self.fed_back if output in self.storage),
            pinned=frozenset(self.storage[name] for name in resolved.outputs if name in self.storage),
            inputs=tuple(self.sizes[name] for name in resolved.inputs if name not in self.pairs),
            outputs=self.graph_outputs(),
            batch=max(1, resolved.batch),
            warnings=(*lacking, *rest, *asked),
            lacking=lacking,
        )
        for draft in self.drafts:
            graph.add(draft)
        return graph

    def graph_outputs(self) -> tuple[TensorSpec, ...]:
        """Activations that leave the graph, each storage once."""
        found: dict[str, TensorSpec] = {}
        for name in self.resolved.outputs:
            storage = self.storage.get(name)
            if name in self.fed_back or storage is None or storage in self.pairs:
                continue
            found.setdefault(storage, self.sizes[storage])
        return tuple(found.values())
