"""The operator registry: one record per operator and version, with its shape rule and its work.

A package adds operators by an entry point of the group ``layerweaver.operators`` that names a module (or a
function without parameters) which registers them with :func:`operator`; those of this package come in by
the same way. An operator that is registered twice for the same version is an error.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint
from typing import TypeAlias, TypeVar

from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.view import Call
from layerweaver.frontend.node.work import Lowered
from layerweaver.ir import ModelError, VectorCategory
from layerweaver.ir.plugins import OPERATORS, PluginGroup

__all__ = [
    "GATHER",
    "MATRIX",
    "MICROSOFT",
    "ML",
    "NCHWC",
    "NHWC",
    "RECURRENT",
    "SHIPPED",
    "Operator",
    "Registry",
    "ShapeRule",
    "Treatment",
    "WorkRule",
    "known_operator",
    "like_first",
    "load_operators",
    "load_plugins",
    "load_shipped",
    "only_shipped",
    "operator",
    "repeat",
    "shape_only",
]

SHIPPED = "layerweaver.frontend.operators"
ML = "ai.onnx.ml"
MICROSOFT = "com.microsoft"
NCHWC = "com.microsoft.nchwc"
NHWC = "com.ms.internal.nhwc"


class Treatment(StrEnum):
    """What becomes of an operator."""

    MATRIX = "matrix"
    RECURRENT = "recurrent"
    VECTOR = "vector"
    GATHER = "gather"
    MOVE = "move"
    VIEW = "view"
    CONSTANT = "constant"
    CONTROL = "control"


MATRIX, RECURRENT, GATHER = Treatment.MATRIX, Treatment.RECURRENT, Treatment.GATHER

ShapeRule: TypeAlias = Callable[[Call], Sequence[Info]]
"""Computes the outputs; may return fewer than the node names when those are unused."""

WorkRule: TypeAlias = Callable[[Call], Lowered]
"""Turns one node, whose outputs are known, into work."""

_Work = TypeVar("_Work", bound=WorkRule)


@dataclass(frozen=True, slots=True)
class Operator:
    """All that is known of an operator from one version on.

    Attributes:
        name: ONNX operator type.
        domain: Its domain; "" is the domain ai.onnx.
        since: First opset version of the domain that this holds for.
        treatment: What becomes of it, as the operator table shows it.
        category: How the vector unit is charged, for vector operators.
        shape: How its outputs follow from its inputs; None: the file's declarations are taken.
        work: What it costs; None: its size is costed, with a warning.
        roots_from: Inputs whose roots the outputs inherit; None for all.
        values_from: Inputs whose values (not just shapes and types) the outputs depend on; None for all.
        foldable: Whether a compiler folds the node when its inputs are constants. Matrix operators are
            not: runtimes execute them, and so they are counted.
        random: Whether the outputs differ from run to run.
        generates: Whether the output is made from a shape, so that a constant one is its own root.
    """

    name: str
    domain: str = ""
    since: int = 1
    treatment: Treatment = Treatment.VECTOR
    category: VectorCategory | None = None
    shape: ShapeRule | None = None
    work: WorkRule | None = None
    roots_from: tuple[int, ...] | None = None
    values_from: tuple[int, ...] | None = None
    foldable: bool = True
    random: bool = False
    generates: bool = False

    @property
    def is_product(self) -> bool:
        """Whether it multiplies matrices: such work is counted even when a compiler could do it once."""
        return self.work is not None and self.treatment in _PRODUCTS


_PRODUCTS = frozenset({Treatment.MATRIX, Treatment.RECURRENT})


class Registry:
    """Operators by domain, name and version.

    Attributes:
        only_shipped: Whether all of them are this package's.
    """

    def __init__(self) -> None:
        self._operators: dict[tuple[str, str], list[Operator]] = {}
        self.only_shipped = True

    def add(self, entry: Operator) -> None:
        """Register an operator.

        Raises:
            ModelError: If it is registered for the same domain and version already.
        """
        known = self._operators.setdefault((entry.domain, entry.name), [])
        if any(other.since == entry.since for other in known):
            raise ModelError(
                f"operator {entry.name!r} of domain {entry.domain or 'ai.onnx'!r} "
                f"is registered twice since version {entry.since}",
                where=getattr(entry.work or entry.shape, "__module__", ""),
                accepted="register it for a later version",
            )
        for rule in (entry.work, entry.shape):
            self.only_shipped &= rule is None or rule.__module__.startswith("layerweaver.")
        known.append(entry)
        known.sort(key=lambda other: -other.since)

    def find(self, name: str, domain: str, opset: int) -> Operator | None:
        """The operator in force at ``opset``: the newest that is not newer; None when there is none."""
        for entry in self._operators.get((domain, name), ()):
            if entry.since <= opset:
                return entry
        return None

    def repeat(self, names: Iterable[str], domain: str) -> None:
        """Let ``domain`` have the operators ``names`` as the default domain has them."""
        for name in names:
            self.add(replace(self._operators["", name][-1], domain=domain))

    def operators(self) -> tuple[Operator, ...]:
        """Everything registered, by domain, name and version."""
        return tuple(entry for key in sorted(self._operators) for entry in reversed(self._operators[key]))


_REGISTRY = Registry()


def operator(
    *names: str,
    shape: ShapeRule | None = None,
    domain: str = "",
    since: int = 1,
    treatment: Treatment | str | None = None,
    category: VectorCategory | None = None,
    roots_from: tuple[int, ...] | None = None,
    values_from: tuple[int, ...] | None = None,
    foldable: bool | None = None,
    random: bool = False,
    generates: bool = False,
    registry: Registry = _REGISTRY,
) -> Callable[[_Work], _Work]:
    """Register the decorated function as the work of the operators ``names``, ``shape`` as their shape rule.

    Args:
        names: ONNX operator types; those of one call share all that is said of them.
        shape: How their outputs follow from their inputs. Without it the file's declared shapes are taken.
        domain: Their domain; "" is ai.onnx.
        since: First opset version of the domain that this holds for.
        treatment: What becomes of them; by default vector work, or a move where ``category`` says so.
        category: How the vector unit is charged.
        roots_from: See :class:`Operator`.
        values_from: See :class:`Operator`.
        foldable: See :class:`Operator`; by default everything but matrix and recurrent work.
        random: See :class:`Operator`.
        generates: See :class:`Operator`.
        registry: Where to; tests use their own.

    Raises:
        ModelError: If an operator is registered for that version already.
    """
    chosen = Treatment.MOVE if category is VectorCategory.MOVE else Treatment.VECTOR
    chosen = chosen if treatment is None else Treatment(treatment)

    def register(work: _Work) -> _Work:
        for name in names:
            entry = Operator(name, domain, since, chosen, category, shape, work, roots_from, values_from)
            folds = chosen not in _PRODUCTS if foldable is None else foldable
            registry.add(replace(entry, foldable=folds, random=random, generates=generates))
        return work

    return register


def shape_only(
    *names: str,
    shape: ShapeRule,
    domain: str,
    roots_from: tuple[int, ...] | None = None,
) -> None:
    """Register operators whose work nobody has described: they are costed by size, with a warning."""
    for name in names:
        _REGISTRY.add(Operator(name, domain, shape=shape, roots_from=roots_from))


def repeat(names: Iterable[str], domain: str) -> None:
    """Let ``domain`` have the shipped operators ``names`` as the default domain has them."""
    _REGISTRY.repeat(names, domain)


def known_operator(name: str) -> Operator:
    """The newest of an operator of the default domain, for domains that vary it."""
    found = _REGISTRY.find(name, "", 1 << 31)
    if found is None:
        raise ModelError(f"operator {name!r} of domain 'ai.onnx' is not registered")
    return found


def like_first(call: Call) -> tuple[Info]:
    """Shape rule of operators with one output of the type and shape of the first input."""
    return (Info(call.dtype(0), call.shape(0)),)


_PLUGINS = PluginGroup(OPERATORS, "operators", ModelError, {"onnx": SHIPPED})


def load_plugins(entries: Iterable[EntryPoint]) -> None:
    """Load entry points: modules that register operators, or functions that do.

    Raises:
        ModelError: If one cannot be imported or fails to register; the message names it.
    """
    for entry in entries:
        _PLUGINS.resolve(entry, lambda loaded: loaded() if callable(loaded) else None)


def load_shipped() -> Registry:
    """The registry with the shipped operators."""
    importlib.import_module(SHIPPED)
    return _REGISTRY


@cache
def load_operators() -> Registry:
    """The registry with the shipped operators and those of installed packages, loaded once.

    Raises:
        ModelError: If a plug-in is broken.
    """
    load_shipped()
    load_plugins(entry for _, entry in sorted(_PLUGINS.entries.items()) if entry.value != SHIPPED)
    return _REGISTRY


def only_shipped() -> bool:
    """Whether nobody else has registered an operator in this process."""
    return _REGISTRY.only_shipped
