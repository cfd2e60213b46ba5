"""The operator registry: how an operator's shapes follow, and which work it is from which opset on.

A package adds operators by an entry point of the group ``layerweaver.operators`` that names a module (or a
function without parameters) which registers them with :func:`lowers`; those of this package come in by the
same way. An operator that is registered twice for the same version is an error.
"""

from __future__ import annotations

import importlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeAlias, TypeVar

from layerweaver.frontend.node.call import Call
from layerweaver.frontend.node.operation import Operation
from layerweaver.frontend.node.values import Info
from layerweaver.frontend.node.work import Lowered
from layerweaver.ir import ModelError, VectorCategory

__all__ = [
    "ENTRY_POINT_GROUP",
    "MICROSOFT",
    "ML",
    "NCHWC",
    "RULES",
    "SHIPPED",
    "Lowering",
    "LoweringFunction",
    "Registry",
    "Rule",
    "RuleFunction",
    "Treatment",
    "domain_name",
    "load_operators",
    "load_plugins",
    "load_shipped",
    "lowers",
    "rule",
]

ENTRY_POINT_GROUP = "layerweaver.operators"
SHIPPED = "layerweaver.frontend.operators"
ML = "ai.onnx.ml"
MICROSOFT = "com.microsoft"
NCHWC = "com.microsoft.nchwc"


RuleFunction: TypeAlias = Callable[[Call], Sequence[Info]]


class Rule:
    """A rule and which inputs matter to it.

    Attributes:
        function: Computes the outputs; may return fewer than the node names when those are unused.
        roots_from: Inputs whose roots the outputs inherit; None for all.
        values_from: Inputs whose values (not just shapes and types) the outputs depend on; None for all.
        foldable: Whether a compiler folds the node when its inputs are constants. Matrix operators are
            not: runtimes execute them, and so they are counted.
        random: Whether the outputs differ from run to run.
        generates: Whether the output is made from a shape, so that a constant one is its own root.
    """

    __slots__ = ("foldable", "function", "generates", "random", "roots_from", "values_from")

    def __init__(
        self,
        function: RuleFunction,
        *,
        roots_from: tuple[int, ...] | None,
        values_from: tuple[int, ...] | None,
        foldable: bool,
        random: bool,
        generates: bool,
    ) -> None:
        self.function = function
        self.roots_from = roots_from
        self.values_from = values_from
        self.foldable = foldable
        self.random = random
        self.generates = generates


RULES: dict[tuple[str, str], Rule] = {}
"""Rule of each (domain, operator); filled by the modules of this package as they are imported."""


def rule(
    *names: str,
    domain: str = "",
    roots_from: tuple[int, ...] | None = None,
    values_from: tuple[int, ...] | None = None,
    foldable: bool = True,
    random: bool = False,
    generates: bool = False,
) -> Callable[[RuleFunction], RuleFunction]:
    """Register a function as the rule of the operators ``names``; see :class:`Rule` for the arguments.

    Raises:
        ValueError: An operator has a rule already.
    """

    def register(function: RuleFunction) -> RuleFunction:
        for name in names:
            key = (domain, name)
            if key in RULES:
                raise ValueError(f"{domain or 'ai.onnx'}.{name} has a rule already")
            RULES[key] = Rule(
                function,
                roots_from=roots_from,
                values_from=values_from,
                foldable=foldable,
                random=random,
                generates=generates,
            )
        return function

    return register


LoweringFunction: TypeAlias = Callable[[Operation], Lowered]
_Function = TypeVar("_Function", bound=LoweringFunction)


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


@dataclass(frozen=True, slots=True)
class Lowering:
    """One registered treatment.

    Attributes:
        operator: ONNX operator type.
        domain: Its domain; "" is the domain ai.onnx.
        since: First opset version of the domain that it holds for.
        treatment: What becomes of the operator, as the operator table shows it.
        category: How the vector unit is charged, for vector operators.
        function: Turns one node into work.
    """

    operator: str
    domain: str
    since: int
    treatment: Treatment
    category: VectorCategory | None
    function: LoweringFunction


class Registry:
    """Lowerings by domain, operator and version."""

    def __init__(self) -> None:
        self._lowerings: dict[tuple[str, str], list[Lowering]] = {}

    def add(self, lowering: Lowering) -> None:
        """Register a lowering.

        Raises:
            ModelError: If one is registered for the same operator, domain and version.
        """
        known = self._lowerings.setdefault((lowering.domain, lowering.operator), [])
        if any(other.since == lowering.since for other in known):
            raise ModelError(
                f"operator {lowering.operator!r} of domain {lowering.domain or 'ai.onnx'!r} "
                f"is registered twice since version {lowering.since}",
                where=lowering.function.__module__,
                accepted="register it for a later version",
            )
        known.append(lowering)
        known.sort(key=lambda entry: entry.since)

    def find(self, operator: str, domain: str, opset: int) -> Lowering | None:
        """The lowering in force at ``opset``: the newest one that is not newer; None when there is none."""
        known = self._lowerings.get((domain, operator))
        if not known:
            return None
        index = bisect_right([entry.since for entry in known], opset) - 1
        return known[index] if index >= 0 else None

    def lowerings(self) -> tuple[Lowering, ...]:
        """Everything registered, by domain, operator and version."""
        return tuple(entry for key in sorted(self._lowerings) for entry in self._lowerings[key])


_REGISTRY = Registry()


def lowers(
    *operators: str,
    domain: str = "",
    since: int = 1,
    treatment: Treatment | str = Treatment.VECTOR,
    category: VectorCategory | None = None,
    registry: Registry = _REGISTRY,
) -> Callable[[_Function], _Function]:
    """Register the decorated function as the lowering of ``operators``.

    Args:
        operators: ONNX operator types that the function handles.
        domain: Their domain; "" is ai.onnx.
        since: First opset version of the domain that it holds for.
        treatment: What becomes of them, for the operator table.
        category: How the vector unit is charged, for the operator table.
        registry: Where to; tests use their own.

    Raises:
        ModelError: If an operator is registered for that version already.
    """

    def register(function: _Function) -> _Function:
        for operator in operators:
            registry.add(Lowering(operator, domain, since, Treatment(treatment), category, function))
        return function

    return register


_PLUGIN_FAULTS = (
    *(ImportError, SyntaxError, AttributeError, NameError, TypeError, ValueError, LookupError),
    *(RuntimeError, OSError, ModelError),
)


def _load(entry: EntryPoint) -> None:
    try:
        loaded = entry.load()
        if callable(loaded):
            loaded()
    except _PLUGIN_FAULTS as error:
        raise ModelError(
            f"the operator plug-in cannot be loaded ({type(error).__name__}: {error})",
            where=f"entry point {entry.name!r} = {entry.value!r} of group {ENTRY_POINT_GROUP!r}",
            accepted="mend or uninstall the package that provides it",
        ) from None


def load_plugins(entries: Iterable[EntryPoint]) -> None:
    """Load every entry point that is not this package's own.

    Raises:
        ModelError: If one cannot be imported or fails to register; the message names it.
    """
    for entry in sorted(entries, key=lambda point: (point.name, point.value)):
        if entry.value != SHIPPED:
            _load(entry)


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
    load_plugins(entry_points(group=ENTRY_POINT_GROUP))
    return _REGISTRY


def domain_name(domain: str) -> str:
    """Canonical domain: "ai.onnx" is spelt ""."""
    return "" if domain == "ai.onnx" else domain
