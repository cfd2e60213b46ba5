"""All functions that a policy reaches, as one C text: translated until no bounds grow any more."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from types import FunctionType

from layerweaver.backend_sim.firmware.c_words import POINTED
from layerweaver.backend_sim.firmware.functions import Function
from layerweaver.backend_sim.firmware.spans import Number, Span
from layerweaver.backend_sim.firmware.things import Layout, Pointed, Seen, Thing, refusal

__all__ = ["Program"]

_MOST_FUNCTIONS = 200
_MOST_PASSES = 200


class Program:
    """Translates functions and what they call.

    Args:
        layout: Where fields are.
        bound: Functions that stand for others, as ``choose`` stands for the policy's.
        bounds: Of functions whose result is known to lie between bounds: these.
        needed: Fields (record, name) that C text of ours reads; others are written only if the policy does.
    """

    def __init__(
        self,
        layout: Layout,
        bound: Mapping[FunctionType, FunctionType],
        bounds: Mapping[FunctionType, Span],
        needed: Iterable[tuple[str, str]],
    ) -> None:
        self._layout = layout
        self._bound, self._bounds = dict(bound), dict(bounds)
        self._functions: dict[tuple[FunctionType, tuple[str, ...]], Function] = {}
        self._open: list[FunctionType] = []
        self._roots: list[Function] = []
        self._needed = frozenset(needed)
        self._mentioned: set[str] = set()
        self._texts: dict[Function, list[str]] = {}

    def root(self, function: FunctionType, name: str, given: list[Thing]) -> Function:
        """Ask for a function by the name that other C text calls."""
        made = self._function(function, given, name)
        made.accept(given)
        made.is_root = True
        self._roots.append(made)
        return made

    def reads(self, record: str, field: str) -> bool:
        """Whether a field is read; what has the name of another record's field counts as read with it."""
        return (record, field) in self._needed or field in self._mentioned

    def text(self) -> str:
        """The C text of every function, callees first.

        Raises:
            PolicyError: If something cannot be translated: which file and line, and what can.
        """
        for _ in range(_MOST_PASSES):
            self._texts = {}
            for made in self._roots:
                self._translate(made)
            reached = list(self._texts)
            read = set[str]().union(*(made.fields_mentioned for made in reached))
            settled = read == self._mentioned and not any(made.changed for made in reached)
            self._mentioned = read
            if settled:
                used = self._used()
                return "\n".join(self._written(made) for made in reached if made in used)
        made = self._roots[0]
        raise refusal(made.function, 0, "its numbers do not settle", "a simpler function")

    def _used(self) -> set[Function]:
        """Functions that the text calls; a result that nobody reads may have left out a call."""
        used, open_ = set[Function](), list(self._roots)
        while open_:
            made = open_.pop()
            if made not in used:
                used.add(made)
                text = "\n".join(self._texts[made])
                open_ += [callee for callee in made.called if f"{callee.name}(" in text]
        return used

    def _translate(self, made: Function) -> None:
        """Translate a function and then what it called, so that callees stand first."""
        if made in self._texts:
            return
        lines = made.translate()
        for callee in sorted(made.called, key=lambda item: item.name):
            self._translate(callee)
        self._texts[made] = lines

    def _written(self, made: Function) -> str:
        lines = self._texts[made]
        comment = [f"/* {made.summary.replace('*/', '* /')} */"] if made.summary else []
        return "\n".join([*made.declaration(), *comment, made.signature(), "{", *lines, "}", ""])

    def callee(
        self, caller: Function, node: ast.Call, function: FunctionType, given: list[Thing]
    ) -> Function:
        """The translation of a function that is called."""
        function = self._bound.get(function, function)
        if function in self._open or function is caller.function:
            raise caller.refusal(node, f"{function.__name__} calls itself", "a loop")
        made = self._function(function, given, None)
        made.accept(given)
        if made.passes == 0:
            self._open.append(caller.function)
            made.translate()
            self._open.pop()
        return made

    def _function(self, function: FunctionType, given: list[Thing], name: str | None) -> Function:
        key = function, tuple(_kind(thing) for thing in given)
        if key in self._functions:
            return self._functions[key]
        if len(self._functions) == _MOST_FUNCTIONS:
            raise refusal(function, 0, f"it calls more than {_MOST_FUNCTIONS} functions", "fewer")
        count = function.__code__.co_argcount + function.__code__.co_kwonlyargcount
        kinds = dict(zip(function.__code__.co_varnames[:count], given, strict=False))
        if count != len(given) or function.__code__.co_flags & 0x0C:
            raise refusal(
                function, function.__code__.co_firstlineno, "it takes other arguments", "fixed parameters"
            )
        made = Function(
            function,
            name or self._free_name(function.__name__),
            self._layout,
            kinds,
            self,
        )
        made.bounds = self._bounds.get(function)
        self._functions[key] = made
        return made

    def _free_name(self, name: str) -> str:
        plain = "".join(c if c.isascii() else f"u{ord(c):x}_" for c in name.strip("_"))
        taken = {made.name for made in self._functions.values()}
        wanted, number = f"policy_{plain}", 1
        while wanted in taken:
            number += 1
            wanted = f"policy_{plain}_{number}"
        return wanted


def _kind(thing: Thing) -> str:
    """What makes two translations of one function differ."""
    match thing:
        case Number(kind=kind):
            return f"number {kind}"
        case Pointed(record=record) if record in POINTED:
            return record
        case Seen():
            return "view"
    return repr(thing)
