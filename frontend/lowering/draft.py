"""Layers in the making: what lowering builds from the nodes and fusion merges."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace

from layerweaver.ir import (
    GatherWork,
    Layer,
    LayerGraph,
    LayerKind,
    MatrixWork,
    TensorSpec,
    VectorCategory,
    VectorWork,
)

__all__ = ["Draft", "DraftGraph"]


@dataclass(slots=True, eq=False)
class Draft:
    """A layer in the making.

    Attributes:
        name: Name of the layer.
        kind: Unit that mainly runs it.
        operator: ONNX operator of the anchor.
        position: Place in execution order; everything that it reads is written at earlier places.
        origins: (place, operator, node name) of everything that it stands for; the anchor is the first.
        operands: Operands of the anchor in ONNX order: storages, or names of constants.
        reads: Storages it reads, in order of first use (values are unused).
        writes: Storages it writes.
        matrix: Matrix products.
        vector: Vector work in execution order, which merges lengthen at either end.
        weights: Parameters by name.
        gathers: Table look-ups.
        role: What it is known as.
        partial: Elements read of storages of which it reads only a part (slices of state).
        window: Tokens that its attention looks at, at most; 0 for all.
    """

    name: str
    kind: LayerKind
    operator: str
    position: int
    origins: list[tuple[int, str, str]]
    operands: tuple[str, ...]
    reads: dict[str, None]
    writes: dict[str, None]
    matrix: MatrixWork | None = None
    vector: deque[VectorWork] = field(default_factory=deque)
    weights: dict[str, TensorSpec] = field(default_factory=dict)
    gathers: list[GatherWork] = field(default_factory=list)
    role: str = ""
    partial: dict[str, int] = field(default_factory=dict)
    window: int = 0
    categories: set[VectorCategory] = field(init=False)

    def __post_init__(self) -> None:
        """The kinds of vector work among ``vector``, kept so that no merge has to look through it."""
        self.categories = {work.category for work in self.vector}


@dataclass(slots=True, eq=False)
class DraftGraph:
    """Drafts with who writes and who reads every storage.

    A storage is a place in memory: a value with all its views. The graph keeps one promise: everything that
    a draft reads is written at an earlier position, so that no merge along it can close a circle.

    Attributes:
        name: Name of the model.
        storages: Size of every storage.
        states: Storages of graph inputs that carry state.
        written: Storages that states are written from.
        pinned: Storages that must be written whatever is fused: graph outputs and state.
        inputs: Activations that enter the graph.
        outputs: Activations that leave it, each storage once.
        batch: Requests per run.
        warnings: What had to be assumed.
        lacking: Those of them that say why work is missing.
    """

    name: str
    storages: dict[str, TensorSpec]
    _: KW_ONLY
    states: frozenset[str]
    written: frozenset[str]
    pinned: frozenset[str]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch: int
    warnings: tuple[str, ...]
    lacking: tuple[str, ...] = ()
    _drafts: dict[int, Draft] = field(init=False, default_factory=dict)
    _writer: dict[str, Draft] = field(init=False, default_factory=dict)
    _readers: dict[str, dict[int, Draft]] = field(init=False, default_factory=dict)

    def add(self, draft: Draft) -> None:
        """Add a draft at its position, which must be later than all others."""
        self._drafts[draft.position] = draft
        for storage in draft.reads:
            self._readers.setdefault(storage, {})[draft.position] = draft
        for storage in draft.writes:
            self._writer[storage] = draft

    def drafts(self) -> tuple[Draft, ...]:
        """All drafts by position."""
        return tuple(self._drafts[position] for position in sorted(self._drafts))

    def __iter__(self) -> Iterator[Draft]:
        return iter(self.drafts())

    def alive(self, draft: Draft) -> bool:
        """Whether the draft has not been merged into another."""
        return self._drafts.get(draft.position) is draft

    def writer(self, storage: str) -> Draft | None:
        """Who writes a storage; None for graph inputs."""
        return self._writer.get(storage)

    def readers(self, storage: str) -> Iterable[Draft]:
        """Who reads a storage."""
        return self._readers.get(storage, {}).values()

    def only_reader(self, draft: Draft) -> Draft | None:
        """The one draft that reads what ``draft`` writes; None if there are others or results are pinned."""
        found: Draft | None = None
        for storage in draft.writes:
            if storage in self.pinned:
                return None
            for reader in self.readers(storage):
                if found is not None and reader is not found:
                    return None
                found = reader
        return found

    def elements(self, storages: Iterable[str]) -> int:
        """Sum of the sizes of storages."""
        return sum(self.storages[storage].elements for storage in storages)

    def reads_state(self, draft: Draft) -> bool:
        """Whether a draft reads state."""
        return bool(self.states) and any(storage in self.states for storage in draft.reads)

    def redirect(self, draft: Draft, instead: Mapping[str, tuple[str, ...]]) -> None:
        """Let a draft read other storages instead of some, all written earlier than it."""
        one: dict[str, str] = {}
        for storage in draft.reads:
            self._readers[storage].pop(draft.position, None)
            if len(instead.get(storage, ())) == 1:
                (one[storage],) = instead[storage]
        draft.reads = {name: None for storage in draft.reads for name in instead.get(storage, (storage,))}
        for storage in draft.reads:
            self._readers.setdefault(storage, {})[draft.position] = draft
        draft.operands = tuple(one.get(operand, operand) for operand in draft.operands)

    def remove(self, draft: Draft) -> None:
        """Take out a draft whose results nobody reads any more."""
        del self._drafts[draft.position]
        for storage in draft.reads:
            self._readers[storage].pop(draft.position, None)
        for storage in draft.writes:
            self._writer.pop(storage, None)

    def merge(self, into: Draft, other: Draft, *, free: bool = False) -> None:
        """Let ``into`` do what ``other`` does, at its own position, in execution order.

        The caller sees to it that everything both read is written before ``into.position`` and that nobody
        between the two positions reads what the later one writes.

        Args:
            into: Draft that stays.
            other: Draft that goes.
            free: Whether the vector work of ``other`` is not needed after the merge.
        """
        self.remove(other)
        if not free:
            into.categories |= other.categories
            if other.position < into.position:
                into.vector.extendleft(reversed(other.vector))
            else:
                into.vector.extend(other.vector)
        into.origins.extend(other.origins)
        into.weights.update(other.weights)
        into.gathers.extend(other.gathers)
        self._merge_partial(into, other)
        readers = self._readers
        for storage in other.reads:
            if storage not in into.writes:
                into.reads[storage] = None
                readers[storage][into.position] = into
        for storage in other.writes:
            if storage in into.reads:
                del into.reads[storage]
                readers[storage].pop(into.position, None)
            if storage in self.pinned or readers.get(storage):
                into.writes[storage] = None
                self._writer[storage] = into
        for storage in other.reads:
            if storage in into.writes and storage not in self.pinned and not readers.get(storage):
                del into.writes[storage]
                self._writer.pop(storage, None)

    def _merge_partial(self, into: Draft, other: Draft) -> None:
        for storage in other.reads:
            part = other.partial.get(storage)
            if storage not in into.reads:
                if part is not None:
                    into.partial[storage] = part
            elif storage in into.partial:
                both = into.partial.pop(storage) + (part if part is not None else 0)
                if part is not None and both < self.storages[storage].elements:
                    into.partial[storage] = both

    def delay(self, draft: Draft, position: int) -> None:
        """Let a draft run later, at a free position before all readers of its results."""
        del self._drafts[draft.position]
        for storage in draft.reads:
            readers = self._readers[storage]
            readers.pop(draft.position)
            readers[position] = draft
        draft.position = position
        self._drafts[position] = draft

    def layers(self) -> LayerGraph:
        """The finished graph."""
        return LayerGraph(
            self.name,
            [self._layer(draft) for draft in self.drafts()],
            inputs=self.inputs,
            outputs=self.outputs,
            batch=self.batch,
            warnings=self.warnings,
            lacking=self.lacking,
        )

    def _layer(self, draft: Draft) -> Layer:
        """The finished layer; results that nobody reads are left out, those of states are its state's."""
        origins = sorted(draft.origins)
        if draft.kind not in (LayerKind.VECTOR, LayerKind.MOVE):
            anchor = draft.origins[0]
            origins = [anchor, *(origin for origin in origins if origin is not anchor)]
        used = [name for name in draft.writes if name in self.pinned or self._readers.get(name)]
        writes = used or list(draft.writes)
        kept = [name for name in writes if name not in self.written or self._readers.get(name)]
        return Layer(
            name=draft.name,
            kind=draft.kind,
            operators=tuple(operator for _, operator, _ in origins),
            nodes=tuple(node for _, _, node in origins),
            inputs=tuple(self.storages[name] for name in draft.reads if name not in self.states),
            outputs=tuple(self.storages[name] for name in kept),
            matrix=draft.matrix,
            vector=tuple(draft.vector),
            weights=tuple(draft.weights.values()),
            gathers=tuple(draft.gathers),
            state_reads=tuple(self._state_read(draft, name) for name in draft.reads if name in self.states),
            state_writes=tuple(self.storages[name] for name in writes if name in self.written),
            role=draft.role,
            window=draft.window,
        )

    def _state_read(self, draft: Draft, name: str) -> TensorSpec:
        tensor = self.storages[name]
        return replace(tensor, elements=min(draft.partial.get(name, tensor.elements), tensor.elements))
