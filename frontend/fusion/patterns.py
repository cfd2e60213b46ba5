"""Activations, normalisations and softmax that exporters write out operator by operator."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from layerweaver.frontend.fusion.match import Constant, Input, Match, Operator, Pattern, find
from layerweaver.frontend.lowering.draft import Draft, DraftGraph
from layerweaver.ir import LayerKind, VectorCategory, VectorWork

__all__ = ["NAMED_PATTERNS", "NamedPattern", "recognise_patterns"]


def _op(names: str, *operands: Pattern) -> Operator:
    return Operator(tuple(names.split("|")), operands)


@dataclass(frozen=True, slots=True)
class NamedPattern:
    """A tree of operators that is one piece of vector work.

    Attributes:
        name: Operator that it stands for.
        category: How the vector unit is charged for one pass over what enters.
        tree: The operators.
    """

    name: str
    category: VectorCategory
    tree: Operator


_X = Input()
_C = Constant()

_ERF = _op("Add", _op("Erf", _op("Div|Mul", _X, _C)), _C)
_CUBE = (
    _op("Pow", _X, _C),
    _op("Mul", _op("Mul", _X, _X), _X),
)
_CUBIC = (
    _op("Mul", _CUBE, _C),
    _op("Mul", _X, _op("Mul", _X, _op("Mul", _X, _C))),
)
_TANH = _op("Add", _op("Tanh", _op("Mul", _op("Add", _X, _CUBIC), _C)), _C)
_TANH_FACTORED = _op(
    "Add",
    _op("Tanh", _op("Mul", _op("Mul", _X, _C), _op("Add", _op("Mul", _op("Mul", _X, _C), _X), _C))),
    _C,
)
_GATES: tuple[Pattern, ...] = (_ERF, _TANH, _TANH_FACTORED)
_CLIPPED = _op("Clip|Relu6|Min", _op("Add|Relu|Max", _X, _C))

_CENTRED = _op("Sub", _X, _op("ReduceMean", _X))
_SQUARE: tuple[Pattern, ...] = (_op("Pow", _CENTRED, _C), _op("Mul", _CENTRED, _CENTRED))
_DEVIATION = _op("Sqrt", _op("Add", _op("ReduceMean", _SQUARE), _C))
_INVERSE_DEVIATION: tuple[Pattern, ...] = (
    _op("Reciprocal", _DEVIATION),
    _op("Div", _C, _DEVIATION),
    _op("Pow", _op("Add", _op("ReduceMean", _SQUARE), _C), _C),
)
_STANDARD: tuple[Operator, ...] = (
    _op("Div", _CENTRED, _DEVIATION),
    _op("Mul", _CENTRED, _INVERSE_DEVIATION),
)
_OWN_SQUARE: tuple[Pattern, ...] = (_op("Pow", _X, _C), _op("Mul", _X, _X))
_MEAN_SQUARE = _op("Add", _op("ReduceMean", _OWN_SQUARE), _C)
_ROOT = _op("Sqrt", _MEAN_SQUARE)
_INVERSE_ROOT: tuple[Pattern, ...] = (
    _op("Reciprocal", _ROOT),
    _op("Div", _C, _ROOT),
    _op("Pow", _MEAN_SQUARE, _C),
)
_RMS: tuple[Operator, ...] = (_op("Div", _X, _ROOT), _op("Mul", _X, _INVERSE_ROOT))
_LARGEST: tuple[Pattern, ...] = (
    _op("ReduceMax", _X),
    _op("Max", _op("ReduceMax", _X), _C),
    _op("Max", _C, _op("ReduceMax", _X)),
)
_EXPONENTIAL: tuple[Pattern, ...] = (_op("Exp", _op("Sub", _X, _LARGEST)), _op("Exp", _X))

_TRANSCENDENTAL = VectorCategory.TRANSCENDENTAL
_NORMALIZATION = VectorCategory.NORMALIZATION

NAMED_PATTERNS: tuple[NamedPattern, ...] = (
    NamedPattern("Gelu", _TRANSCENDENTAL, _op("Mul", _op("Mul", _X, _GATES), _C)),
    NamedPattern("Gelu", _TRANSCENDENTAL, _op("Mul", _op("Mul", _X, _C), _GATES)),
    NamedPattern("Gelu", _TRANSCENDENTAL, _op("Mul", _X, _op("Mul", _GATES, _C))),
    NamedPattern("QuickGelu", _TRANSCENDENTAL, _op("Mul", _X, _op("Sigmoid", _op("Mul", _X, _C)))),
    NamedPattern("Swish", _TRANSCENDENTAL, _op("Mul", _X, _op("Sigmoid", _X))),
    NamedPattern("Mish", _TRANSCENDENTAL, _op("Mul", _X, _op("Tanh", _op("Softplus", _X)))),
    NamedPattern("HardSwish", VectorCategory.ELEMENTWISE, _op("Mul", _X, _op("HardSigmoid", _X))),
    NamedPattern("HardSwish", VectorCategory.ELEMENTWISE, _op("Div|Mul", _op("Mul", _X, _CLIPPED), _C)),
    NamedPattern("HardSwish", VectorCategory.ELEMENTWISE, _op("Mul", _X, _op("Div|Mul", _CLIPPED, _C))),
    NamedPattern("LayerNormalization", _NORMALIZATION, _op("Add", _op("Mul", _STANDARD, _C), _C)),
    NamedPattern("LayerNormalization", _NORMALIZATION, _op("Mul", _STANDARD, _C)),
    *(NamedPattern("LayerNormalization", _NORMALIZATION, tree) for tree in _STANDARD),
    NamedPattern("RMSNormalization", _NORMALIZATION, _op("Mul", _RMS, _C)),
    *(NamedPattern("RMSNormalization", _NORMALIZATION, tree) for tree in _RMS),
    NamedPattern("Softmax", VectorCategory.SOFTMAX, _op("Div", _EXPONENTIAL, _op("ReduceSum", _EXPONENTIAL))),
)
"""Tried at every operator in this order; larger trees before the trees that they contain."""


def _by_root() -> dict[str, tuple[NamedPattern, ...]]:
    roots: dict[str, list[NamedPattern]] = {}
    for pattern in NAMED_PATTERNS:
        for name in pattern.tree.names:
            roots.setdefault(name, []).append(pattern)
    return {name: tuple(patterns) for name, patterns in roots.items()}


_BY_ROOT = _by_root()


def _replace(graph: DraftGraph, root: Draft, match: Match, pattern: NamedPattern) -> None:
    for position in sorted(match.drafts, reverse=True):
        draft = match.drafts[position]
        if draft is not root:
            graph.merge(root, draft)
    entry = graph.storages[match.entry]
    work = VectorWork(pattern.name, pattern.category, entry.elements, 1, entry.batched)
    root.vector, root.categories = deque((work,)), {work.category}
    root.kind = LayerKind.VECTOR
    root.operator = pattern.name


def recognise_patterns(graph: DraftGraph) -> int:
    """Replace written-out activations, normalisations and softmax by one layer each.

    Returns:
        Number of layers merged.
    """
    merged = 0
    for draft in reversed(graph.drafts()):
        patterns = _BY_ROOT.get(draft.operator)
        if patterns is None or not graph.alive(draft):
            continue
        for pattern in patterns:
            match = find(graph, draft, pattern.tree)
            if match is not None:
                _replace(graph, draft, match, pattern)
                merged += len(match.drafts) - 1
                break
    return merged
